// Keeps the files that are the same for everybody, and shows the offline page where a page can't be
// fetched. No page, no answer and nothing about anybody is ever kept (security row S62): what is kept
// is this list, written when the portal was packaged, and nothing is added to it later.
"use strict";
const KEPT = {{ kept }};
const OFFLINE = {{ offline }};
const VERSION = {{ version }};
const address = (file) => new URL(file, self.registration.scope).href;

self.addEventListener("install", (event) => {
  event.waitUntil((async () => {
    const cache = await caches.open(VERSION);
    // Their names hold the hash of their content: what the browser has already is as good.
    await cache.addAll(KEPT.map((file) => new Request(address(file), { credentials: "omit" })));
    await self.skipWaiting();
  })());
});

self.addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    const names = await caches.keys();
    await Promise.all(names.filter((name) => name !== VERSION).map((name) => caches.delete(name)));
    // The page is asked for while the worker starts.
    await self.registration.navigationPreload?.enable();
    await self.clients.claim();
  })());
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET") return;
  if (request.mode === "navigate") {
    event.respondWith((async () => {
      try {
        return (await event.preloadResponse) || (await fetch(request));
      } catch (failed) {
        const page = await caches.match(address(OFFLINE), { cacheName: VERSION });
        if (page) return page;
        throw failed;
      }
    })());
  } else if (KEPT.some((file) => request.url === address(file))) {
    event.respondWith((async () =>
      (await caches.match(request, { cacheName: VERSION })) || fetch(request))());
  }
});
