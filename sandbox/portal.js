// Keeps a page as it is in the workspace: asks for its inner part again and swaps it when changed.
"use strict";

const main = document.querySelector("main");
const live = document.getElementById("live");
let shown = null;

function swap(html) {
  const known = new Set([...main.querySelectorAll(".item[id]")].map((item) => item.id));
  const open = [...main.querySelectorAll("details[open]")].map((details) => details.id);
  const focused = document.activeElement?.closest("details")?.id;
  const { scrollX, scrollY } = window;
  main.innerHTML = html;
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  for (const item of main.querySelectorAll(".item[id]")) {
    if (!known.has(item.id)) item.classList.add("fresh");
  }
  if (focused) document.getElementById(focused)?.querySelector("summary").focus({ preventScroll: true });
  window.scrollTo(scrollX, scrollY);
}

async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch("?part=main", { cache: "no-store", signal: AbortSignal.timeout(5000) });
    // 404 is the page of an incident that does not exist, yet or any more.
    if (!answer.ok && answer.status !== 404) throw new Error(answer.statusText);
    const html = await answer.text();
    if (html !== shown) swap(html);
    shown = html;
    live.textContent = "live";
    live.classList.remove("lost");
  } catch {
    live.textContent = "not connected";
    live.classList.add("lost");
  }
}

async function keep() {
  await refresh();
  setTimeout(keep, 2000);
}

document.addEventListener("visibilitychange", refresh);
keep();
