// Light or dark as the reader's system is, from the first moment and when it changes.
{
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => document.body?.setAttribute("data-md-color-scheme", dark.matches ? "slate" : "default");
  new MutationObserver((_, observer) => {
    if (!document.body) return;
    apply();
    observer.disconnect();
  }).observe(document.documentElement, { childList: true });
  dark.addEventListener("change", apply);
}
