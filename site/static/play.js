// The puzzle contest of notebook 01 without a kernel: cut, shuffle and normalise here, ask the network by onnxruntime.
import board from "./board.js";

const TILE = 64, CELL = 85, GRID = 3, TILES = GRID * GRID, SHORT_SIDE = 300;
const FOLDER = new URL(".", import.meta.url);
const element = (name) => document.getElementById(`play-${name}`);
const say = (words) => { element("state").textContent = words; };

// What board.js expects of a widget's model.
class Model {
    constructor(values) { this.values = values; this.heard = {}; }
    get(name) { return this.values[name]; }
    set(name, value) { this.values[name] = value; for (const act of this.heard[`change:${name}`] ?? []) act(); }
    on(event, act) { (this.heard[event] ??= []).push(act); }
    off(event, act) { this.heard[event] = this.heard[event].filter((one) => one !== act); }
    save_changes() {}
}

// jigsaw.to_caffe for one puzzle: RGB bytes (9, 64, 64, 3) -> float32 (27, 64, 64), each channel of each tile normalised.
export function toCaffe(bytes) {
    const out = new Float32Array(TILES * 3 * TILE * TILE), size = TILE * TILE;
    for (let row = 0; row < TILES * 3; row++) {
        const first = Math.floor(row / 3) * size * 3 + (row % 3);
        let sum = 0, squares = 0;
        for (let i = 0; i < size; i++) sum += bytes[first + 3 * i];
        const mean = Math.fround(sum / size);
        for (let i = 0; i < size; i++) squares += (bytes[first + 3 * i] - mean) ** 2;
        const deviation = Math.sqrt(squares / size) || 1;
        for (let i = 0; i < size; i++) out[row * size + i] = (bytes[first + 3 * i] - mean) / deviation;
    }
    return out;
}

const inverse = (permutation) => permutation.map((_, i) => permutation.indexOf(i + 1) + 1);
const draw = (count) => Math.floor(Math.random() * count);

async function unpacked(name) {
    const packed = await fetch(new URL(name, FOLDER));
    return new Response(packed.body.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

async function load() {
    const ort = await import("./ort.wasm.min.mjs");
    ort.env.wasm.numThreads = 1; // several need headers that a plain server does not send
    ort.env.wasm.wasmBinary = await unpacked("ort-wasm-simd-threaded.wasm.gz");
    const model = await (await fetch(new URL("solver.onnx", FOLDER))).arrayBuffer();
    const session = await ort.InferenceSession.create(model);
    // Probabilities of the permutations and the blobs on the way, for RGB bytes of one puzzle.
    return async (bytes) => {
        const input = new ort.Tensor("float32", toCaffe(bytes), [1, TILES * 3, TILE, TILE]);
        const answers = await session.run({ data: input });
        const scores = answers.fc8.data, top = Math.max(...scores);
        const shares = Array.from(scores, (score) => Math.exp(score - top)), sum = shares.reduce((a, b) => a + b);
        return { probabilities: shares.map((share) => share / sum), blobs: answers };
    };
}

async function picture(source) {
    const image = new Image();
    image.src = source;
    await image.decode();
    const scale = SHORT_SIDE / Math.min(image.naturalWidth, image.naturalHeight);
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(image.naturalWidth * scale);
    canvas.height = Math.round(image.naturalHeight * scale);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.imageSmoothingQuality = "high";
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    return canvas;
}

// Nine tiles of a picture, each at a random place in its cell: RGB bytes (9, 64, 64, 3).
function cut(canvas, grey) {
    const left = draw(canvas.width - GRID * CELL + 1), top = draw(canvas.height - GRID * CELL + 1);
    const bytes = new Uint8Array(TILES * TILE * TILE * 3);
    for (let cell = 0; cell < TILES; cell++) {
        const x = left + (cell % GRID) * CELL + draw(CELL - TILE + 1);
        const y = top + Math.floor(cell / GRID) * CELL + draw(CELL - TILE + 1);
        const { data } = canvas.getContext("2d").getImageData(x, y, TILE, TILE);
        for (let i = 0; i < TILE * TILE; i++) {
            const rgb = [data[4 * i], data[4 * i + 1], data[4 * i + 2]];
            if (grey) rgb.fill(Math.round(0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]));
            bytes.set(rgb, (cell * TILE * TILE + i) * 3);
        }
    }
    return bytes;
}

const tileOf = (bytes, place) => bytes.subarray(place * TILE * TILE * 3, (place + 1) * TILE * TILE * 3);

function shuffled(bytes, permutation) {
    const out = new Uint8Array(bytes.length);
    permutation.forEach((from, place) => tileOf(out, place).set(tileOf(bytes, from - 1)));
    return out;
}

function asPicture(tile) {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = TILE;
    const pixels = new ImageData(TILE, TILE);
    for (let i = 0; i < TILE * TILE; i++) pixels.data.set([...tile.subarray(3 * i, 3 * i + 3), 255], 4 * i);
    canvas.getContext("2d").putImageData(pixels, 0, 0);
    return canvas.toDataURL();
}

function add(tag, parent, attributes = {}, words = "") {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.textContent = words;
    parent.append(made);
    return made;
}

async function start() {
    if (typeof WebAssembly !== "object" || typeof DecompressionStream !== "function") {
        say("This browser has no WebAssembly, so the network cannot run here; notebook 01 has the same game.");
        return;
    }
    if (location.protocol === "file:") {
        say("Opened as a file, a page may load nothing. Serve the folder (python -m http.server) and open this page there.");
        return;
    }
    say("Nothing has been loaded yet.");
    element("ask").hidden = false;
    await new Promise((wanted) => element("load").addEventListener("click", wanted, { once: true }));
    element("ask").hidden = true;
    say("Loading the network …");
    const facts = await (await fetch(new URL("play.json", FOLDER))).json();
    const answer = await load();
    const photos = Object.fromEntries(facts.photos.map((name) => [name, new URL(`${name}.webp`, FOLDER).href]));
    const model = new Model({ value: [], marks: [], pictures: [] });
    const score = { you: [], "the network": [] };
    let game = null;

    const inPlace = (order) => order.map((tile, place) => game.permutation[tile - 1] === place + 1);

    async function deal() {
        const chosen = element("photo").value || facts.photos[draw(facts.photos.length)];
        const canvas = await picture(photos[chosen]);
        const label = draw(facts.permutations.length), permutation = facts.permutations[label];
        const bytes = shuffled(cut(canvas, element("grey").checked), permutation);
        game = { chosen, label, permutation, bytes, asked: answer(bytes) };
        model.set("marks", []);
        model.set("pictures", Array.from({ length: TILES }, (_, place) => asPicture(tileOf(bytes, place))));
        model.set("value", [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        element("answer").replaceChildren();
        element("inside").hidden = true;
        element("check").disabled = false;
        say("Put the tiles in order: drag them, or use the arrow keys and Enter.");
    }

    async function check() {
        element("check").disabled = true;
        const { probabilities, blobs } = await game.asked;
        game.blobs = blobs;
        const ranked = probabilities.map((_, i) => i).sort((a, b) => probabilities[b] - probabilities[a]);
        const order = inverse(facts.permutations[ranked[0]]);
        const marks = { you: inPlace(model.get("value")), "the network": inPlace(order) };
        model.set("marks", marks.you);
        for (const player in marks) score[player].push(marks[player].filter(Boolean).length);
        const where = element("answer");
        where.replaceChildren();
        add("div", where, { class: "heading" }, "the network's answer");
        const grid = add("div", where, { class: "tiles" });
        order.forEach((tile, place) => {
            const box = add("div", grid);
            add("img", box, { src: model.get("pictures")[tile - 1], alt: "" });
            add("span", box, {}, marks["the network"][place] ? "✓" : "✗");
        });
        const list = add("ol", where, { "aria-label": "its five likeliest permutations" });
        for (const row of ranked.slice(0, 5)) {
            const line = add("li", list);
            add("span", line, { class: "bar", style: `width: ${100 * probabilities[row]}px` });
            const words = ` ${(100 * probabilities[row]).toFixed(1)} %${row === game.label ? ", the true one" : ""}`;
            add("span", line, {}, words);
        }
        const rank = ranked.indexOf(game.label) + 1;
        say(`It was ${game.chosen}. The true permutation was number ${rank} of ${facts.permutations.length} to the network.`);
        tell();
        element("inside").hidden = false;
        maps();
        where.scrollIntoView({ block: "nearest" }); // on a phone it lies below the board
    }

    function tell() {
        const table = document.createElement("table");
        const head = add("tr", add("thead", table)), body = add("tbody", table);
        for (const words of ["player", "puzzles solved", "tiles in place"]) add("th", head, { scope: "col" }, words);
        for (const [player, results] of Object.entries(score)) {
            const row = add("tr", body), full = results.filter((count) => count === TILES).length;
            add("th", row, { scope: "row" }, player);
            add("td", row, {}, `${full} of ${results.length}`);
            add("td", row, {}, `${results.reduce((a, b) => a + b, 0)} of ${TILES * results.length}`);
        }
        element("score").replaceChildren(table);
    }

    // The 24 strongest channels of a blob for one tile, four rows of six.
    function maps() {
        const { data, dims } = game.blobs[element("blob").value], [, channels, height, width] = dims;
        const first = element("tile").selectedIndex * channels * height * width;
        const channel = (i) => data.subarray(first + i * height * width, first + (i + 1) * height * width);
        const tops = Array.from({ length: channels }, (_, i) => Math.max(...channel(i)));
        const chosen = tops.map((_, i) => i).sort((a, b) => tops[b] - tops[a]).slice(0, 24);
        const canvas = element("maps"), context = canvas.getContext("2d");
        canvas.width = 6 * (width + 1) - 1;
        canvas.height = 4 * (height + 1) - 1;
        chosen.forEach((number, place) => {
            const values = channel(number), low = Math.min(...values), range = tops[number] - low || 1;
            const pixels = new ImageData(width, height);
            values.forEach((value, i) => {
                const share = (value - low) / range; // from cividis' dark blue to its yellow
                pixels.data.set([255 * share, 34 + 198 * share, 78 + 2 * share, 255], 4 * i);
            });
            context.putImageData(pixels, (place % 6) * (width + 1), Math.floor(place / 6) * (height + 1));
        });
        const told = `The ${chosen.length} strongest of ${channels} channels of ${element("blob").value}, ${height} by ${width}`;
        canvas.setAttribute("aria-label", `${told}, for tile ${element("tile").value}.`);
    }

    board.render({ model, el: element("board") });
    add("option", element("photo"), { value: "" }, "at random");
    for (const name of facts.photos) add("option", element("photo"), {}, name);
    for (const name of facts.blobs) add("option", element("blob"), {}, name);
    for (let tile = 1; tile <= TILES; tile++) add("option", element("tile"), {}, String(tile));
    element("upload").addEventListener("change", async ({ target }) => {
        const [file] = target.files;
        if (!file) return;
        const source = URL.createObjectURL(file);
        try {
            await picture(source);
        } catch {
            say(`${file.name} is no picture that this browser can read.`);
            return;
        }
        if (!(file.name in photos)) add("option", element("photo"), {}, file.name);
        photos[file.name] = source;
        element("photo").value = file.name;
        deal();
    });
    for (const name of ["photo", "grey"]) element(name).addEventListener("change", deal);
    element("deal").addEventListener("click", deal);
    element("check").addEventListener("click", check);
    for (const name of ["tile", "blob"]) element(name).addEventListener("change", maps);
    element("controls").hidden = false;
    element("controls").addEventListener("submit", (event) => event.preventDefault());
    window.jigsawAnswer = answer; // for whoever wants to ask it more
    await deal();
}

start().catch((error) => say(`The network could not be loaded: ${error.message}`));
