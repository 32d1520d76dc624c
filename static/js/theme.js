// Light or dark: the system's choice until the reader makes one, which is remembered.

const STORAGE_KEY = "bitlm-theme";
const systemIsDark = window.matchMedia("(prefers-color-scheme: dark)");

const current = () => document.documentElement.dataset.theme ?? (systemIsDark.matches ? "dark" : "light");

/**
 * @param {HTMLButtonElement} button The switch.
 * @param {function(): void} onChange Called after every change, the system's included.
 */
export function connectThemeSwitch(button, onChange) {
  const show = () => {
    const isDark = current() === "dark";
    button.setAttribute("aria-pressed", String(isDark));
    button.title = isDark ? "Switch to the light theme" : "Switch to the dark theme";
    onChange();
  };
  button.addEventListener("click", () => {
    const theme = current() === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    localStorage.setItem(STORAGE_KEY, theme);
    show();
  });
  systemIsDark.addEventListener("change", show);
  show();
}
