// What the theme's pages lack for readers without a mouse or without sight.
document.addEventListener("DOMContentLoaded", () => {
  for (const box of document.querySelectorAll(".highlight pre, .table-wrapper, .cell_output, .cell_output pre, .output.text_html, .formula")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0; // can be scrolled by keyboard
  }
  for (const caption of document.querySelectorAll("[role=heading]:not([aria-level])")) {
    caption.setAttribute("aria-level", "2");
  }
  for (const list of document.querySelectorAll("dt > dl")) {
    list.role = "presentation"; // a signature's parameters, a line each: no list of definitions
    for (const line of list.children) line.role = "presentation";
  }
});
