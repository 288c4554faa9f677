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

  // The place of the focus, by what it leads to.
  const placeOf = (element) => {
    if (!element || !main.contains(element) || element === main) return null;
    const same = [...main.querySelectorAll("a, button, summary, [tabindex]")];
    return same.indexOf(element);
  };

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
      const open = [...main.querySelectorAll("details")].map((it) => it.open);
      const scrolled = [...main.querySelectorAll(".wide")].map((it) => it.scrollLeft);
      const place = placeOf(document.activeElement);
      main.replaceChildren(...fresh.childNodes);
      if (said) main.querySelector("h1").after(said);
      main.querySelectorAll("details").forEach((it, n) => { it.open = open[n] ?? it.open; });
      main.querySelectorAll(".wide").forEach((it, n) => { it.scrollLeft = scrolled[n] ?? 0; });
      if (place !== null) main.querySelectorAll("a, button, summary, [tabindex]")[place]?.focus({ preventScroll: true });
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
