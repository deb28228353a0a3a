// Asks for the cameras' states every two seconds and for the pictures of the cards that are in view.

const POLL_MS = 2000;
const TIMEOUT_MS = 5000;
const STATES = {
  live: "Live",
  masked: "Masked whole",
  connecting: "Connecting",
  away: "Away",
  stalled: "No picture",
  ended: "Ended",
};

const $ = (selector, root = document) => root.querySelector(selector);
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
// A page that was opened as http://user:password@host/ may fetch nothing relative to that address.
const get = (path, headers = {}) =>
  fetch(new URL(path, location.origin + location.pathname), { headers, cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });

const calm = matchMedia("(prefers-reduced-motion: reduce)");
const inView = new Set();
const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) inView.add(target);
    else inView.delete(target);
  }
});

let pictureMs = 500;
const cards = new Map(); // camera id -> Card

class Card {
  constructor(id) {
    this.id = id;
    this.alive = true;
    this.root = $("#card").content.cloneNode(true).firstElementChild;
    this.canvas = $("canvas", this.root);
    $("h2", this.root).textContent = id;
    $("canvas", this.root).setAttribute("aria-label", `Redacted picture of ${id}`);
    $("input", this.root).setAttribute("aria-label", `RTSP address of ${id}`);
    $("button", this.root).addEventListener("click", () => this.copy());
    $("input", this.root).addEventListener("focus", (event) => event.target.select());
    watcher.observe(this.root);
    this.look();
  }

  remove() {
    this.alive = false;
    watcher.unobserve(this.root);
    inView.delete(this.root);
    this.root.remove();
  }

  show(camera) {
    this.camera = camera;
    this.root.dataset.state = camera.state;
    $(".pill span", this.root).textContent = STATES[camera.state] ?? camera.state;
    $(".summary", this.root).textContent = camera.summary;
    $(".size", this.root).textContent = camera.width_px ? `${camera.width_px} × ${camera.height_px}` : "";
    const view = $(".view", this.root);
    view.href = camera.stream_path;
    view.title = `Open the live picture of ${camera.id}`;
    const detail = $(".detail", this.root);
    detail.textContent = camera.detail;
    detail.hidden = !camera.detail || camera.state === "live" || camera.state === "masked";
    this.fact("fps_in", camera.fps_in.toFixed(1), "fps");
    this.fact("fps_out", camera.fps_out.toFixed(1), "fps");
    this.fact("latency", camera.latency_ms === null ? "–" : Math.round(camera.latency_ms), "ms");
    this.fact("tracks", camera.tracks);
    this.fact("restarts", camera.restarts, "", camera.restarts > 0);
    $(".rtsp", this.root).hidden = !camera.rtsp_url;
    const field = $("input", this.root);
    if (field.value !== camera.rtsp_url) field.value = camera.rtsp_url ?? "";
  }

  fact(name, value, unit = "", warn = false) {
    const cell = $(`[data-fact="${name}"]`, this.root);
    cell.textContent = value;
    cell.classList.toggle("warn", warn);
    if (unit && value !== "–") {
      const small = document.createElement("small");
      small.textContent = unit;
      cell.append(small);
    }
  }

  // One picture after the other, never two at a time: a slow link gets fewer, not a growing queue.
  async look() {
    let tag = "";
    while (this.alive) {
      const started = performance.now();
      if (this.camera && !document.hidden && inView.has(this.root)) {
        try {
          const answer = await get(this.camera.snapshot_path, tag ? { "If-None-Match": tag } : {});
          if (answer.status === 200) {
            tag = answer.headers.get("ETag") ?? "";
            this.draw(await createImageBitmap(await answer.blob()));
          }
        } catch {
          await pause(1000);
        }
      }
      const every = Math.max(calm.matches ? 2000 : pictureMs, 60 * inView.size);
      await pause(Math.max(20, every - (performance.now() - started)));
    }
  }

  draw(bitmap) {
    if (this.canvas.width !== bitmap.width || this.canvas.height !== bitmap.height) {
      this.canvas.width = bitmap.width;
      this.canvas.height = bitmap.height;
    }
    this.canvas.getContext("2d").drawImage(bitmap, 0, 0);
    bitmap.close();
  }

  async copy() {
    const field = $("input", this.root);
    const button = $("button", this.root);
    try {
      await navigator.clipboard.writeText(field.value); // only on https and localhost
    } catch {
      field.select();
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    await pause(1500);
    button.textContent = "Copy";
  }
}

function show(report) {
  pictureMs = report.picture_interval_s * 1000;
  const list = $("#cameras");
  const ids = new Set(report.cameras.map((camera) => camera.id));
  for (const [id, card] of cards) {
    if (!ids.has(id)) {
      card.remove();
      cards.delete(id);
    }
  }
  report.cameras.forEach((camera, place) => {
    if (!cards.has(camera.id)) cards.set(camera.id, new Card(camera.id));
    const card = cards.get(camera.id);
    card.show(camera);
    if (list.children[place] !== card.root) list.insertBefore(card.root, list.children[place] ?? null);
  });
  $("#none").hidden = report.cameras.length > 0;
  $("#version").textContent = `Anonymizer ${report.version}`;
  showOverall(report);
}

function showOverall({ cameras, healthy }) {
  const count = (...states) => cameras.filter((camera) => states.includes(camera.state)).length;
  const missing = cameras.length - count("live", "masked");
  const masked = count("masked");
  let [state, words] = ["live", cameras.length === 1 ? "Camera is live" : `All ${cameras.length} cameras are live`];
  if (cameras.length === 0) [state, words] = ["connecting", "No cameras"];
  else if (missing) [state, words] = ["away", `${missing} of ${cameras.length} without a picture`];
  else if (!healthy) [state, words] = ["away", "The service is not healthy"];
  else if (masked) [state, words] = ["masked", `${masked} of ${cameras.length} masked whole`];
  setOverall(state, words);
}

function setOverall(state, words) {
  const pill = $("#overall");
  pill.dataset.state = state;
  const text = $("span", pill);
  if (text.textContent !== words) text.textContent = words; // a screen reader speaks only of changes
  document.title = `${words} · Anonymizer`;
}

function lost(isLost) {
  $("#lost").hidden = !isLost;
  if (!isLost) return;
  setOverall("away", "No connection");
  for (const card of cards.values()) {
    card.root.dataset.state = "unknown";
    $(".pill span", card.root).textContent = "Unknown";
    $(".summary", card.root).textContent = "No connection to the anonymizer.";
  }
}

for (;;) {
  if (!document.hidden) {
    try {
      const answer = await get("api/cameras");
      if (!answer.ok) throw new Error(answer.status);
      show(await answer.json());
      lost(false);
    } catch {
      lost(true);
    }
  }
  await pause(POLL_MS);
}
