// The front end of board.Board. Two states: at rest, or with the tile of position `held` picked up and lying, for now,
// at position `focus`, whose tile has taken its place.
const SIDE = 3;
const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
const DRAG = 5; // pixels that a pointer moves before a press becomes a drag
const HELP =
    "Drag a tile onto another, or click on both: they change places. " +
    "By keyboard: arrows, Enter to pick up and to drop, Escape to put back.";

function make(tag, parent, attributes = {}) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    parent.append(element);
    return element;
}

function swapped(order, one, other) {
    const result = [...order];
    [result[one], result[other]] = [order[other], order[one]];
    return result;
}

const place = (position) => `row ${Math.floor(position / SIDE) + 1}, column ${(position % SIDE) + 1}`;

function render({ model, el }) {
    // JupyterLab would take Enter and the arrows for itself.
    const root = make("div", el, { class: "jigsaw-board", "data-lm-suppress-shortcuts": "true" });
    const help = `help-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
    make("div", root, { class: "heading" }).textContent = "your tiles";
    const grid = make("div", root, { role: "grid", "aria-label": "your tiles", "aria-describedby": help });
    const cells = Array.from({ length: SIDE }, () => make("div", grid, { role: "row" })).flatMap((row) =>
        Array.from({ length: SIDE }, () => make("div", row, { role: "gridcell" })),
    );
    const images = cells.map((cell) => make("img", cell, { alt: "", draggable: "false" }));
    const status = make("div", root, { class: "status", "aria-live": "polite" });
    make("div", root, { class: "help", id: help }).textContent = HELP;

    let focus = 0; // the position that Tab leads to
    let held = null;
    let drag = null; // {from, x, y, moved} while a pointer is down

    const finished = () => model.get("marks").length > 0;
    const seen = () => (held === null ? model.get("value") : swapped(model.get("value"), held, focus));

    function draw() {
        const [order, marks, pictures] = [seen(), model.get("marks"), model.get("pictures")];
        cells.forEach((cell, position) => {
            const verdict = !marks.length ? "" : marks[position] ? "right" : "wrong";
            if (pictures.length) images[position].src = pictures[order[position] - 1];
            cell.className = [verdict, held !== null && position === focus ? "held" : ""].join(" ");
            cell.tabIndex = position === focus ? 0 : -1;
            cell.setAttribute("aria-label", `${place(position)}: tile ${order[position]} ${verdict}`.trim());
        });
    }

    function refresh() {
        held = null;
        const marks = model.get("marks");
        status.textContent = finished() ? `${marks.filter(Boolean).length} of 9 tiles are in place.` : "";
        draw();
    }

    function go(position) {
        focus = position;
        draw();
        cells[focus].focus();
        if (held !== null) status.textContent = `Over ${place(focus)}.`;
    }

    function lift() {
        if (finished()) return;
        held = focus;
        draw();
        status.textContent = `Tile ${seen()[focus]} picked up from ${place(focus)}.`;
    }

    function putBack() {
        focus = held;
        held = null;
        draw();
        status.textContent = "Put back.";
    }

    function drop() {
        if (held === focus) return putBack();
        const order = seen();
        const words = `Tiles ${order[focus]} and ${order[held]} have changed places.`;
        model.set("value", order); // which refreshes the board
        model.save_changes();
        status.textContent = words;
    }

    grid.addEventListener("keydown", (event) => {
        if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
        if (event.key in STEPS) {
            const [down, right] = STEPS[event.key];
            const [row, column] = [Math.floor(focus / SIDE) + down, (focus % SIDE) + right];
            if (Math.min(row, column) >= 0 && Math.max(row, column) < SIDE) go(row * SIDE + column);
        } else if (event.key === "Enter" || event.key === " ") {
            if (held === null) lift();
            else drop();
        } else if (event.key === "Escape" && held !== null) {
            putBack();
            cells[focus].focus();
        } else return;
        event.preventDefault();
        event.stopPropagation();
    });
    grid.addEventListener("focusout", ({ relatedTarget }) => {
        if (held !== null && !grid.contains(relatedTarget)) putBack();
    });

    const under = ({ clientX, clientY }) =>
        cells.findIndex((cell) => {
            const box = cell.getBoundingClientRect();
            return clientX >= box.left && clientX < box.right && clientY >= box.top && clientY < box.bottom;
        });

    grid.addEventListener("pointerdown", (event) => {
        const from = under(event);
        if (from < 0 || !event.isPrimary || event.button !== 0) return;
        drag = { from, x: event.clientX, y: event.clientY, moved: false };
        grid.setPointerCapture(event.pointerId);
    });
    grid.addEventListener("pointermove", (event) => {
        if (!drag || finished()) return;
        const [across, down] = [event.clientX - drag.x, event.clientY - drag.y];
        if (!drag.moved && Math.hypot(across, down) < DRAG) return;
        if (!drag.moved) {
            drag.moved = true;
            held = null;
            go(drag.from);
            cells[drag.from].classList.add("dragged");
        }
        images[drag.from].style.transform = `translate(${across}px, ${down}px)`;
        const over = under(event);
        cells.forEach((cell, position) => cell.classList.toggle("over", position === over && over !== drag.from));
    });

    function release(event) {
        if (!drag) return;
        const { from, moved } = drag;
        drag = null;
        images[from].style.transform = "";
        const over = event.type === "pointerup" ? under(event) : from;
        if (moved) {
            held = from;
            go(over < 0 ? from : over);
            drop();
        } else if (event.type === "pointerup") {
            go(from);
            if (held === null) lift();
            else drop();
        }
    }
    grid.addEventListener("pointerup", release);
    grid.addEventListener("pointercancel", release);

    const changes = ["change:value", "change:marks", "change:pictures"];
    for (const change of changes) model.on(change, refresh);
    refresh();
    return () => {
        for (const change of changes) model.off(change, refresh);
    };
}

export default { render };
