// The page is complete without this: it opens folded parts for printing and for links that point into them.
addEventListener("beforeprint", () => document.querySelectorAll("details:not([open])").forEach(d => { d.open = true; d.dataset.print = "1"; }));
addEventListener("afterprint", () => document.querySelectorAll("details[data-print]").forEach(d => { d.open = false; delete d.dataset.print; }));
