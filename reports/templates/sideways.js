"use strict";
// Says at a table that it goes on sideways, as long as it is wider than the screen.
{
  const frames = [...document.querySelectorAll(".scroll")];
  const mark = frame => frame.classList.toggle("sideways", frame.scrollWidth > frame.clientWidth + 1);
  const watch = new ResizeObserver(entries => entries.forEach(entry => mark(entry.target)));
  frames.forEach(frame => watch.observe(frame));
}
