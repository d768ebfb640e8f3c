// An explorer on a page without a kernel: its controls choose among pictures that were drawn beforehand.
{
    const root = document.currentScript.parentElement;
    const { panels, states } = JSON.parse(root.querySelector("script[type='application/json']").textContent);
    const controls = [...root.querySelectorAll("form select, form input")];
    const places = [...root.querySelectorAll("[data-panel]")];
    places.forEach((place, i) => { panels[i][place.dataset.shows] = place.innerHTML; });
    const at = (control) => (control.tagName === "SELECT" ? control.selectedIndex : Number(control.value));
    root.querySelector("form").hidden = false;
    root.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
    root.addEventListener("input", () => {
        let state = 0;
        for (const control of controls) {
            const words = control.dataset.words ? JSON.parse(control.dataset.words) : [...control.options];
            state = state * words.length + at(control);
            if (!control.dataset.words) continue;
            control.setAttribute("aria-valuetext", words[at(control)]);
            control.nextElementSibling.textContent = words[at(control)];
        }
        states[state].forEach((number, i) => {
            if (places[i].dataset.shows !== String(number)) places[i].innerHTML = panels[i][number];
            places[i].dataset.shows = number;
        });
    });
}
