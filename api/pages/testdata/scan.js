// Scans the page that is shown for what WCAG 2.2 AA asks and a script can tell. Returns a list of findings.
(() => {
  const found = [];
  const name = (e) => {
    const at = e.id ? "#" + e.id : e.className && typeof e.className === "string" ? "." + e.className.split(" ")[0] : "";
    return `<${e.tagName.toLowerCase()}${at}> “${(e.textContent || "").trim().slice(0, 40)}”`;
  };
  const shown = (e) => e.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && e.getClientRects().length > 0 && !e.closest(".sr, [hidden]");
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const known = new Map();
  const rgba = (css) => {
    if (!known.has(css)) known.set(css, pixel(css));
    return known.get(css);
  };
  const pixel = (css) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = css;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const over = (top, below) => top.slice(0, 3).map((v, i) => (v * top[3] + below[i] * (255 - top[3])) / 255);
  const background = (e) => {
    const layers = [];
    for (; e; e = e.parentElement) {
      const color = rgba(getComputedStyle(e).backgroundColor);
      if (color[3] > 0) layers.push(color);
      if (color[3] === 255) break;
    }
    let base = [255, 255, 255];
    for (const layer of layers.reverse()) base = over(layer, base);
    return base;
  };
  const luminance = (c) => {
    const [r, g, b] = c.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => {
    const [x, y] = [luminance(a), luminance(b)].sort((m, n) => n - m);
    return (x + 0.05) / (y + 0.05);
  };

  // 1.4.3 contrast of text
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = new Set();
  while (texts.nextNode()) {
    const e = texts.currentNode.parentElement;
    if (seen.has(e) || !texts.currentNode.data.trim() || ["SCRIPT", "TITLE", "DESC", "title"].includes(e.tagName) || !shown(e)) continue;
    seen.add(e);
    const style = getComputedStyle(e);
    const below = background(e);
    const color = rgba(e instanceof SVGElement ? style.fill : style.color);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const ratio = contrast(over(color, below), below);
    if (ratio < (large ? 3 : 4.5)) found.push(`contrast ${ratio.toFixed(2)} of ${name(e)}`);
    if (size < 11) found.push(`text of ${size}px in ${name(e)}`);
  }
  // 1.4.11 contrast of controls and of the chart's bars
  for (const e of document.querySelectorAll("input, select, button.secondary, .menu summary")) {
    if (!shown(e) || e.type === "hidden") continue;
    const ratio = contrast(rgba(getComputedStyle(e).borderTopColor).slice(0, 3), background(e.parentElement));
    if (ratio < 3) found.push(`border contrast ${ratio.toFixed(2)} of ${name(e)}`);
  }
  for (const e of document.querySelectorAll(".bars rect[class^=s], .done, .ghost-top, .legend rect[class^=s]")) {
    const fill = getComputedStyle(e).fill;
    if (fill.startsWith("url")) continue;
    const ratio = contrast(over(rgba(fill), background(e)), background(e));
    if (ratio < 3) found.push(`graphic contrast ${ratio.toFixed(2)} of ${e.getAttribute("class")}`);
  }
  // names of controls, links and pictures
  const labelled = (e) => {
    const ids = (e.getAttribute("aria-labelledby") || "").split(" ").filter(Boolean);
    return (e.getAttribute("aria-label") || ids.map((id) => document.getElementById(id)?.textContent || "").join("") ||
      [...(e.labels || [])].map((l) => l.textContent).join("") || (/^(A|BUTTON|SUMMARY)$/.test(e.tagName) && e.textContent) || "").trim();
  };
  for (const e of document.querySelectorAll("a, button, summary, input:not([type=hidden]), select, textarea, [role=img], [role=region], section, nav, form[role=search]")) {
    if ((e.tagName === "NAV" || e.tagName === "SECTION") && !shown(e)) continue;
    if (e.tagName === "SECTION" && e.classList.contains("problem")) continue;
    if (!labelled(e) && !(e.tagName === "SECTION" && e.querySelector(".empty")) && !e.matches("form")) found.push(`no name: ${name(e)}`);
  }
  for (const e of document.querySelectorAll("svg:not(svg svg)")) {
    if (e.getAttribute("aria-hidden") !== "true" && e.getAttribute("role") !== "img") found.push("svg without a role");
  }
  for (const e of document.querySelectorAll("[aria-labelledby], [aria-describedby], label[for]")) {
    const ids = `${e.getAttribute("aria-labelledby") || ""} ${e.getAttribute("aria-describedby") || ""} ${e.getAttribute("for") || ""}`;
    for (const id of ids.split(" ").filter(Boolean)) if (!document.getElementById(id)) found.push(`${name(e)} refers to #${id}, which is not there`);
  }
  // structure
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  for (const id of new Set(ids.filter((id, i) => ids.indexOf(id) !== i))) found.push(`id ${id} is there twice`);
  const headings = [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")].filter(shown);
  if (headings.filter((h) => h.tagName === "H1").length !== 1) found.push("not exactly one h1");
  headings.reduce((level, h) => {
    const own = +h.tagName[1];
    if (own > level + 1) found.push(`heading level ${own} after ${level}: ${name(h)}`);
    return own;
  }, 0);
  if (!document.documentElement.lang || !document.title || !document.querySelector("main")) found.push("no language, title or main");
  for (const table of document.querySelectorAll("table")) {
    if (!table.caption) found.push("table without caption");
    for (const th of table.querySelectorAll("th")) if (!th.scope) found.push(`th without scope: ${name(th)}`);
  }
  // 2.5.8 size of targets, those inside text excepted
  for (const e of document.querySelectorAll("button, select, input:not([type=hidden]), .menu summary, nav a, .menu a, .pager a")) {
    if (!shown(e)) continue;
    const box = e.getBoundingClientRect();
    if (box.height < 24 || box.width < 24) found.push(`target of ${box.width.toFixed(0)}×${box.height.toFixed(0)}: ${name(e)}`);
  }
  // 1.4.10 reflow: what is wider than the window
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  if (wide > 0) {
    const widest = [...document.body.querySelectorAll("*")].filter((e) => shown(e) && !e.closest(".scroll") && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1).slice(0, 3);
    found.push(`page is ${wide}px wider than the window: ${widest.map(name).join(", ")}`);
  }
  // what is cut off inside its box
  for (const e of document.querySelectorAll(".card, .card dd, .card td")) {
    if (shown(e) && e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0 && !e.querySelector(".scroll") && getComputedStyle(e).display !== "table-cell") found.push(`content ${e.scrollWidth - e.clientWidth}px too wide in ${name(e)}`);
  }
  return found;
})();
