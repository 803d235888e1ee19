// The little that attributes cannot say.
"use strict";

// A page that nobody looks at asks for nothing.
document.addEventListener("htmx:before:request", (event) => {
  if (document.hidden && event.detail.ctx.sourceEvent?.type === "every") event.preventDefault();
});

// No answer at all: the console itself is gone.
document.addEventListener("htmx:error", (event) => {
  const notice = document.getElementById("notice");
  if (event.detail.ctx && notice && !notice.textContent.trim()) {
    const text = document.createElement("p");
    text.className = "notice";
    text.textContent = "The console does not answer. This page comes back by itself when it does.";
    notice.replaceChildren(text);
  }
});

// The box in a table's head is for all boxes below it.
document.addEventListener("change", (event) => {
  if (!event.target.matches("[data-all]")) return;
  for (const box of event.target.closest("table").querySelectorAll("tbody input[type=checkbox]:enabled"))
    box.checked = event.target.checked;
});
