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

  // A form is not sent where there is no connection: the page that came instead would take what was
  // typed with it.
  document.addEventListener("submit", (event) => {
    if (navigator.onLine || event.defaultPrevented) return;
    event.preventDefault();
    let note = event.target.querySelector("[data-note]");
    if (!note) {
      note = document.createElement("p");
      note.className = "wrong";
      note.dataset.note = "";
      note.setAttribute("role", "alert");
      event.target.append(note);
    }
    note.textContent = document.body.dataset.offline;
  });

  // A search in the page hides what doesn't answer; accents and case don't count, as on the server.
  const folded = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
  for (const form of all("[data-search]")) {
    const kind = form.dataset.search;
    const texts = new Map([...all(`section[data-${kind}]`)].map((one) => [one, folded(one.textContent)]));
    const search = () => {
      const words = folded(form.q.value).split(/\s+/).filter(Boolean);
      let found = 0;
      for (const [section, text] of texts) {
        const answers = words.every((word) => text.includes(word));
        for (const one of all(`[data-${kind}="${section.dataset[kind]}"]`)) one.hidden = !answers;
        found += answers ? 1 : 0;
      }
      document.querySelector("[data-nothing]").hidden = found > 0;
      return found;
    };
    let pause;
    form.q.addEventListener("input", () => {
      const found = search();
      clearTimeout(pause);
      pause = setTimeout(
        () => say(found ? form.dataset.some.replace("#", found) : form.dataset.none), 1200);
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (search()) [...texts.keys()].find((one) => !one.hidden).focus();
    });
  }

  // The worker that shows a page without a connection: for who is signed in, or has put the portal on
  // the home screen. A first visit on a slow line is spared its files.
  const dialog = document.getElementById("session-warning");
  if (navigator.serviceWorker && (dialog || matchMedia("(display-mode: standalone)").matches)) {
    const worker = new URL("../service-worker.js", document.currentScript.src);
    addEventListener("load", () => { navigator.serviceWorker.register(worker).catch(() => {}); });
  }

  // Two minutes before the session ends a dialog says so. The clock on the wall is asked again and
  // again, so that a phone that slept is right; the server is asked before anything is said, since
  // another tab may have moved the end.
  if (!dialog) return;
  const WARN = 120000;
  const json = { "Content-Type": "application/json", Accept: "application/json" };
  const skew = dialog.dataset.now ? Date.parse(dialog.dataset.now) - Date.now() : 0;
  const stay = dialog.querySelector("[data-do=stay]");
  const close = dialog.querySelector("[data-do=close]");
  const again = dialog.querySelector("[data-part=over]");
  let idle = Date.parse(dialog.dataset.idleUntil);
  let end = Date.parse(dialog.dataset.endsAt) || Infinity;
  let asking = false;
  let told = false;
  let over = false;
  const left = () => Math.min(idle, end) - (Date.now() + skew);
  const ask = async () => {
    const answer = await fetch(dialog.dataset.session, { headers: { Accept: "application/json" } });
    if (answer.status === 401) leave();
    if (!answer.ok) return;
    const said = await answer.json();
    idle = Date.parse(said.idle_until);
    end = Date.parse(said.ends_at);
  };
  const isFilled = (one) => (one.matches("select")
    ? [...one.options].some((option) => option.selected !== option.defaultSelected)
    : one.value !== one.defaultValue || one.checked !== one.defaultChecked);
  const halfFilled = () => document.getElementById("errors")
    || [...all("main form[method=post] :is(input, select, textarea)")].some(isFilled);
  // The session is over. What nobody has typed into goes to sign-in and back again; a half-filled form
  // waits, out of sight, in this tab and nowhere else, for the same guardian to sign in again.
  const leave = () => {
    if (over) return;
    if (!again || !halfFilled()) { location.reload(); return; }
    over = true;
    show(again);
    document.body.classList.add("over");
    again.elements.password.focus();
  };
  const show = (part) => {
    for (const one of dialog.querySelectorAll("[data-part]")) one.hidden = one !== part;
    dialog.setAttribute("aria-labelledby", part.querySelector("h2").id);
    if (!dialog.open) dialog.showModal();
  };
  const warn = () => {
    const final = end <= idle;
    dialog.querySelector("[data-when=idle]").hidden = final;
    dialog.querySelector("[data-when=end]").hidden = !final;
    stay.hidden = final;
    close.hidden = !final;
    show(dialog.querySelector("[data-part=warning]"));
    told = true;
  };
  const check = async () => {
    if (over || asking || left() > WARN || (told && left() > 0)) return;
    asking = true;
    try {
      await ask();
      if (over) return;
      if (left() > WARN) { told = false; dialog.close(); } else if (!told) warn();
    } catch { /* no network: asked again at the next turn */ } finally { asking = false; }
  };
  stay.addEventListener("click", async () => {
    try {
      await fetch(dialog.dataset.session, { method: "POST", headers: json, body: "{}" });
      await ask();
      if (over) return;
      told = false;
      dialog.close();
    } catch { /* no network: the button is still there */ }
  });
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => { if (over) show(again); });
  again?.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { username, password } = again.elements;
    const wrong = again.querySelector("[role=alert]");
    wrong.textContent = "";
    try {
      const answer = await fetch(again.action, {
        method: "POST",
        headers: json,
        body: JSON.stringify({ username: username.value, password: password.value }),
      });
      if (answer.ok) {
        over = false;
        told = false;
        document.body.classList.remove("over");
        dialog.close();
        say(dialog.dataset.back);
        await ask();
      } else {
        const said = await answer.json();
        wrong.textContent = (said.errors ?? [said]).map((one) => one.detail).join(" ");
      }
    } catch { wrong.textContent = again.dataset.failed; }
    password.value = "";
    if (over) password.focus();
  });
  // A form is not sent into a session that is over: that would lose what was typed.
  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (event.defaultPrevented || form === again || left() > 0) return;
    event.preventDefault();
    try { await ask(); } catch { /* what the form itself meets is said by the browser */ }
    if (!over && left() > 0) form.requestSubmit(event.submitter);
  });
  document.addEventListener("visibilitychange", check);
  setInterval(check, 5000);
})();
