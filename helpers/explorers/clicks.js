// The front end of controls.Clicks.
function render({ model }) {
    const stop = new AbortController();
    document.addEventListener("click", ({ target, clientX, clientY }) => {
        const panel = target.tagName === "IMG" && target.closest("[class*='clicks-']");
        if (!panel) return;
        const name = /clicks-([0-9a-f]+)/.exec(panel.className)[1];
        const box = target.getBoundingClientRect();
        model.set("click", [name, (clientX - box.left) / box.width, (clientY - box.top) / box.height]);
        model.save_changes();
    }, { signal: stop.signal });
    return () => stop.abort();
}
export default { render };
