// What a page can do better where scripts run. Every page works without it, and nothing here decides
// anything: the server checks all again. Words come from the page, in its language.
"use strict";
(() => {
  const all = (selector) => document.querySelectorAll(selector);
  const say = (text) => { document.getElementById("live").textContent = text; };

  // The summary of errors is read first, and its links go into the fields.
  document.getElementById("errors")?.focus();

  // Show and hide a password; what is sent is always a password field, so that managers save it.
  for (const button of all("[data-reveal]")) {
    const input = document.getElementById(button.dataset.reveal);
    const show = (visible) => {
      input.type = visible ? "text" : "password";
      button.textContent = visible ? button.dataset.hide : button.dataset.show;
      button.setAttribute("aria-label", visible ? button.dataset.hideLabel : button.dataset.showLabel);
    };
    button.hidden = false;
    button.addEventListener("click", () => {
      const visible = input.type === "password";
      show(visible);
      say(visible ? button.dataset.shown : button.dataset.hidden);
    });
    input.form.addEventListener("submit", () => show(false));
  }

  // The password's rules, ticked while typing and said once typing pauses.
  for (const list of all(".rules[data-for]")) {
    const password = document.getElementById(list.dataset.for);
    const username = document.getElementById(list.dataset.username);
    const count = (text, ...kinds) => kinds.filter((kind) => kind.test(text)).length;
    const judges = {
      length: (text, rule) => [...text].length >= Number(rule.dataset.least),
      alphanumeric: (text) => count(text, /\p{L}/u, /\p{Nd}/u) === 2,
      strong: (text) => count(text, /\p{Ll}/u, /\p{Lu}/u, /\p{Nd}/u, /[^\p{L}\p{Nd}\s]/u) >= 3,
      username: (text) => text !== "" && (!username?.value
        || !text.toLowerCase().includes(username.value.trim().toLowerCase())),
    };
    let pause;
    const judge = () => {
      let left = 0;
      for (const rule of list.querySelectorAll("[data-rule]")) {
        const met = judges[rule.dataset.rule](password.value, rule);
        rule.classList.toggle("met", met);
        left += met ? 0 : 1;
      }
      clearTimeout(pause);
      if (password.value) {
        pause = setTimeout(
          () => say(left ? list.dataset.left.replace("#", left) : list.dataset.all), 1200);
      }
    };
    password.addEventListener("input", judge);
    username?.addEventListener("input", judge);
  }

  // Copy a key or a number.
  for (const button of all("[data-copy]")) {
    if (!navigator.clipboard) break;
    const words = button.textContent;
    button.hidden = false;
    button.addEventListener("click", async () => {
      const text = document.getElementById(button.dataset.copy);
      try {
        await navigator.clipboard.writeText(text.textContent);
      } catch {
        // Not allowed here: the text stands selected, ready for the parent's own copy.
        getSelection().selectAllChildren(text);
        return;
      }
      button.textContent = button.dataset.done;
      say(button.dataset.done);
      setTimeout(() => { button.textContent = words; }, 3000);
    });
  }

  // A key typed whole is put into its groups once the parent leaves the box.
  const key = document.getElementById("activation_key");
  key?.addEventListener("blur", () => {
    const symbols = key.value.toUpperCase().replace(/[^0-9A-Z]/g, "");
    if (symbols.length === 16) key.value = symbols.match(/.{4}/g).join("-");
  });

  // Two minutes before the session ends a dialog says so. The clock on the wall is asked again and
  // again, so that a phone that slept is right; the server is asked before anything is said, since
  // another tab may have moved the end.
  const dialog = document.getElementById("session-warning");
  if (!dialog) return;
  const WARN = 120000;
  const skew = dialog.dataset.now ? Date.parse(dialog.dataset.now) - Date.now() : 0;
  const stay = dialog.querySelector("[data-do=stay]");
  const close = dialog.querySelector("[data-do=close]");
  let idle = Date.parse(dialog.dataset.idleUntil);
  let end = Date.parse(dialog.dataset.endsAt) || Infinity;
  let asking = false;
  let told = false;
  const left = () => Math.min(idle, end) - (Date.now() + skew);
  const ask = async () => {
    const answer = await fetch(dialog.dataset.session, { headers: { Accept: "application/json" } });
    // The session is over: the page's own address leads to sign-in and back again.
    if (answer.status === 401) location.reload();
    if (!answer.ok) return;
    const said = await answer.json();
    idle = Date.parse(said.idle_until);
    end = Date.parse(said.ends_at);
  };
  const warn = () => {
    const final = end <= idle;
    dialog.querySelector("[data-when=idle]").hidden = final;
    dialog.querySelector("[data-when=end]").hidden = !final;
    stay.hidden = final;
    close.hidden = !final;
    if (!dialog.open) dialog.showModal();
    told = true;
  };
  const check = async () => {
    if (asking || left() > WARN || (told && left() > 0)) return;
    asking = true;
    try {
      await ask();
      if (left() > WARN) { told = false; dialog.close(); } else if (!told) warn();
    } catch { /* no network: asked again at the next turn */ } finally { asking = false; }
  };
  stay.addEventListener("click", async () => {
    try {
      await fetch(dialog.dataset.session, {
        method: "POST", headers: { "Content-Type": "application/json", Accept: "application/json" },
        body: "{}",
      });
      await ask();
      told = false;
      dialog.close();
    } catch { location.reload(); }
  });
  close.addEventListener("click", () => dialog.close());
  document.addEventListener("visibilitychange", check);
  setInterval(check, 5000);
})();
