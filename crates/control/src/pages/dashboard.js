// Shows what changes while a page is open. Without this script a page shows what was true when it was loaded.
"use strict";
(() => {
  const main = document.querySelector("main[data-live]");
  if (!main || !window.EventSource) return;
  const banner = document.getElementById("connection");
  let stamp = new Date();
  let timer = 0;
  let busy = false;

  const tell = (text, href) => {
    banner.hidden = !text;
    banner.replaceChildren(text);
    if (!href) return;
    const link = document.createElement("a");
    link.href = href;
    link.textContent = "Log in";
    banner.append(" ", link);
  };

  // What somebody is filling in, reading out or selecting is not taken from under their hands.
  const isInUse = () => {
    const focused = document.activeElement;
    if (focused && main.contains(focused) && focused.matches("input, select, textarea")) return true;
    for (const field of main.querySelectorAll("form[method=post] :is(input:not([type=hidden]), textarea, select)")) {
      if (field.matches("select") ? [...field.options].some((o) => o.selected !== o.defaultSelected && o.index > 0 && o.selected)
        : field.value !== field.defaultValue) return true;
    }
    return !getSelection().isCollapsed;
  };

  // By what a piece of a page is known when it has moved: its id, or what it leads to.
  const keyOf = (node) => node.nodeType !== Node.ELEMENT_NODE ? ""
    : node.id || (node.matches("tr, li, a") && (node.matches("a") ? node : node.querySelector("a"))?.getAttribute("href")) || "";
  const areAlike = (old, fresh) => old.nodeName === fresh.nodeName && keyOf(old) === keyOf(fresh);

  // Makes a piece say what its fresh copy says. Whatever says so already stays the same node: so does the focus in
  // it, how far it is scrolled, and what a screen reader has read out. What is unfolded stays unfolded.
  const patch = (old, fresh) => {
    if (old.isEqualNode(fresh)) return;
    if (old.nodeType !== Node.ELEMENT_NODE || old.matches("input, select, textarea")) { old.replaceWith(fresh); return; }
    const isFold = (name) => name === "open" && old.matches("details");
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && !isFold(name)) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes) if (!isFold(name)) old.setAttribute(name, value);
    let next = old.firstChild;
    for (const child of [...fresh.childNodes]) {
      let same = next;
      while (same && !areAlike(same, child)) same = same.nextSibling;
      if (!same) { old.insertBefore(child, next); continue; }
      while (next !== same) { const gone = next; next = next.nextSibling; gone.remove(); }
      next = same.nextSibling;
      patch(same, child);
    }
    while (next) { const gone = next; next = next.nextSibling; gone.remove(); }
  };

  const places = () => [...main.querySelectorAll("a, button, summary, [tabindex]")];

  const refresh = async () => {
    if (busy || document.hidden || isInUse()) return;
    busy = true;
    try {
      const url = new URL(location.href);
      url.searchParams.delete("done");
      const answer = await fetch(url, { headers: { accept: "text/html" }, credentials: "same-origin" });
      if (new URL(answer.url).pathname === "/login") {
        tell("Your session has ended. What you see is from " + stamp.toLocaleTimeString() + ".",
          "/login?next=" + encodeURIComponent(location.pathname + location.search));
        source.close();
        return;
      }
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.querySelector("main[data-live]");
      if (!fresh || isInUse()) return;
      const said = main.querySelector(".said");
      if (said) fresh.querySelector("h1").after(said.cloneNode(true));
      const focused = document.activeElement;
      const place = places().indexOf(focused);
      patch(main, fresh);
      // What had the focus is gone: what stands in its place has it, or the page where that is folded in.
      if (place >= 0 && !focused.isConnected) {
        const near = places()[place] ?? main;
        near.focus({ preventScroll: true });
        if (document.activeElement !== near) main.focus({ preventScroll: true });
      }
      stamp = new Date();
    } catch {
      // The stream says that the connection is lost.
    } finally {
      busy = false;
    }
  };

  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(refresh, 150);
  };

  const source = new EventSource(main.dataset.live);
  source.addEventListener("open", () => { tell(""); });
  source.addEventListener("state", soon);
  source.addEventListener("beat", soon);
  source.addEventListener("error", () => {
    tell("The connection is lost; it is tried again. What you see is from " + stamp.toLocaleTimeString() + ".");
    // A session that has ended is refused, and the browser does not try again: the page finds out why.
    if (source.readyState === EventSource.CLOSED) refresh();
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) soon(); });
})();
