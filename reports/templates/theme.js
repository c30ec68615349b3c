"use strict";
// Lets a reader look at the page in the other of light and dark; without a script the system's choice stands.
{
  const button = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  let dark = system.matches;
  const tell = () => { button.textContent = dark ? "light" : "dark"; };
  button.setAttribute("aria-label", "switch between light and dark");
  button.addEventListener("click", () => {
    dark = !dark;
    document.documentElement.style.colorScheme = dark ? "dark" : "light";
    tell();
  });
  system.addEventListener("change", () => {
    dark = system.matches;
    document.documentElement.style.colorScheme = "";
    tell();
  });
  tell();
  button.hidden = false;
}
