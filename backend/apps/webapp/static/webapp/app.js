// The page at /app: log in, say what was eaten, add it to the diary, look at a day.
// Whatever came from outside reaches the page as textContent only.

const { texts } = await import(document.body.dataset.texts);

const REQUEST_DEADLINE_MS = 40_000;
const PATIENCE_MS = 180_000;
const MACRONUTRIENTS = ["protein_g", "fat_g", "carbohydrate_g"];

const element = (id) => document.getElementById(id);
const launch = new URLSearchParams(location.hash.slice(1));
const initData = launch.get("tgWebAppData");
const language = chooseLanguage();
const say = (key) => texts[language][key];

let token = stored("token");
let refreshToken = stored("refresh-token");
let renewing = null;
// The API counts a day by the zone that it is told at the first login.
const timeZone = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "";
let day = isoDate(new Date());
let answered = null;

// ---- Memory. Inside a frame a browser may refuse storage: then a reload logs in again.

function stored(name) {
  try {
    return sessionStorage.getItem(name);
  } catch {
    return null;
  }
}

function store(name, value) {
  try {
    sessionStorage.setItem(name, value);
  } catch {}
}

function chooseLanguage() {
  const wanted = new URLSearchParams(location.search).get("lang") ?? stored("language");
  const chosen = Object.hasOwn(texts, wanted) ? wanted : "ru";
  store("language", chosen);
  return chosen;
}

function keepTokens(given = {}) {
  token = given.access_token ?? "";
  refreshToken = given.refresh_token ?? "";
  store("token", token);
  store("refresh-token", refreshToken);
}

// ---- The API

class Problem extends Error {
  constructor({ status = 0, title, detail }) {
    super([title, detail].filter(Boolean).join(". "));
    this.status = status;
  }
}

async function send(method, path, body) {
  const headers = { "Accept-Language": language };
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body) headers["Content-Type"] = "application/json";
  try {
    return await fetch(`/api/v1/${path}`, {
      method,
      headers,
      body: body && JSON.stringify(body),
      // The browser keeps the ETag and sends If-None-Match; a 304 reaches us as the old answer.
      cache: "no-cache",
      signal: AbortSignal.timeout(REQUEST_DEADLINE_MS),
    });
  } catch {
    throw new Problem({ title: say("offline") });
  }
}

async function read(response) {
  const body = await response.json().catch(() => null);
  if (response.ok && body) return body;
  throw new Problem({ title: say("unexpected"), ...body, status: response.status });
}

async function call(method, path, body) {
  let response = await send(method, path, body);
  if (response.status === 401 && (refreshToken || initData)) {
    // A refresh token is good for once: whoever finds the login expired shares one renewal.
    renewing ??= renew().finally(() => (renewing = null));
    await renewing;
    response = await send(method, path, body);
  }
  return { body: await read(response), retryAfter: Number(response.headers.get("Retry-After")) };
}

async function renew() {
  if (refreshToken) {
    const response = await send("POST", "auth/refresh", { refresh_token: refreshToken });
    if (response.ok) return keepTokens(await read(response));
    if (response.status !== 401 || !initData) await read(response);
  }
  await logIn("telegram", { init_data: initData });
}

async function logIn(way, proof) {
  keepTokens();
  keepTokens(await read(await send("POST", `auth/${way}`, { ...proof, time_zone: timeZone })));
}

// ---- What is shown

function make(tag, text = "", className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = className;
  return made;
}

function number(value, digits = 0) {
  return new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value);
}

const kcal = (value) => `${number(value)}\u00a0${say("kcal")}`;
const grams = (value, digits) => `${number(value, digits)}\u00a0${say("g")}`;

function itemLine(item) {
  const line = make("li");
  const parts = MACRONUTRIENTS.map((key) => `${say(key)}\u00a0${grams(item[key], 1)}`);
  line.append(
    make("span", item.name, "name"),
    make("span", kcal(item.energy_kcal), "energy"),
    make("span", [grams(item.grams), ...parts].join(" · "), "quiet"),
  );
  return line;
}

function totalTile(name, value) {
  const tile = make("div");
  tile.append(make("dt", name), make("dd", value));
  return tile;
}

function mealCard(meal) {
  const card = make("li");
  const clock = { hour: "2-digit", minute: "2-digit" };
  const head = make("p", "", "head");
  head.append(
    make("time", new Date(meal.eaten_at).toLocaleTimeString(language, clock)),
    make("span", kcal(meal.totals.energy_kcal), "energy"),
  );
  const items = make("ul", "", "items");
  items.append(...meal.items.map(itemLine));
  card.append(head, items);
  return card;
}

function show(section) {
  for (const id of ["outside", "inside"]) element(id).hidden = id !== section;
}

function complain(message) {
  element("problem").textContent = message;
  element("problem").hidden = !message;
}

// Runs what a control asks for, once at a time. Disabling it would take the focus away.
async function attempt(control, work) {
  if (control.getAttribute("aria-busy") === "true") return;
  control.setAttribute("aria-busy", "true");
  complain("");
  try {
    await work();
  } catch (error) {
    complain(error instanceof Problem ? error.message : say("unexpected"));
    if (error.status === 401) leave();
    if (!(error instanceof Problem)) throw error;
  } finally {
    control.removeAttribute("aria-busy");
  }
}

function leave() {
  keepTokens();
  show("outside");
}

// ---- Days

function isoDate(date) {
  const parts = [date.getFullYear(), date.getMonth() + 1, date.getDate()];
  return parts.map((part) => String(part).padStart(2, "0")).join("-");
}

function localDate(iso, shift = 0) {
  const [year, month, date] = iso.split("-").map(Number);
  return new Date(year, month - 1, date + shift);
}

async function showDay(wanted) {
  day = wanted;
  const { body } = await call("GET", `diary/${wanted}`);
  if (wanted !== day) return; // another day was asked for meanwhile
  const format = { weekday: "short", day: "numeric", month: "long" };
  element("date").textContent = localDate(wanted).toLocaleDateString(language, format);
  element("totals").replaceChildren(
    totalTile(say("kcal"), number(body.totals.energy_kcal)),
    ...MACRONUTRIENTS.map((key) => totalTile(say(key), grams(body.totals[key]))),
  );
  element("meals").replaceChildren(...body.meals.map(mealCard));
  element("empty").hidden = body.meals.length > 0;
}

// ---- Recognitions

const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

async function recognize(text) {
  element("answer").hidden = true;
  element("progress").textContent = say("counting");
  try {
    showAnswer(await outcome(await call("POST", "recognitions", { text })));
  } catch (error) {
    element("progress").textContent = "";
    throw error;
  }
}

async function outcome({ body, retryAfter }) {
  const deadline = Date.now() + PATIENCE_MS;
  while (body.status !== "done" && body.status !== "failed") {
    if (Date.now() > deadline) throw new Problem({ title: say("late") });
    await pause(retryAfter || 1);
    ({ body, retryAfter } = await call("GET", `recognitions/${body.id}`));
  }
  if (body.status === "failed") throw new Problem(body.error);
  return body;
}

function showAnswer(recognition) {
  const found = recognition.items.length > 0;
  answered = recognition.id;
  element("progress").textContent = recognition.message || say(found ? "counted" : "nothing");
  element("answer-items").replaceChildren(...recognition.items.map(itemLine));
  element("notes").textContent = recognition.notes;
  element("accept").hidden = !found;
  element("answer").hidden = false;
}

async function accept() {
  await call("POST", `recognitions/${answered}/accept`);
  element("answer").hidden = true;
  element("progress").textContent = say("accepted");
  element("text").value = "";
  await showDay(isoDate(new Date()));
  element("date").focus();
}

// ---- Beginning

async function enter() {
  if (!token && !initData) return show("outside");
  if (!token) await logIn("telegram", { init_data: initData });
  show("inside");
  await showDay(day);
}

function onSubmit(id, work) {
  element(id)?.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(event.currentTarget, work);
  });
}

function onClick(id, work) {
  element(id).addEventListener("click", (event) => attempt(event.currentTarget, work));
}

function prepare() {
  document.documentElement.lang = language;
  for (const node of document.querySelectorAll("[data-text]")) {
    node.textContent = say(node.dataset.text);
  }
  const other = { ru: "en", en: "ru" }[language];
  const address = new URL(location.href);
  address.searchParams.set("lang", other);
  const link = element("other-language");
  link.textContent = { ru: "Русский", en: "English" }[other];
  link.lang = link.hreflang = other;
  link.href = address.href;
}

onSubmit("login", async () => {
  await logIn("development", { telegram_id: Number(element("telegram-id").value) });
  await enter();
});
onSubmit("ask", () => recognize(element("text").value));
onClick("accept", accept);
onClick("previous", () => showDay(isoDate(localDate(day, -1))));
onClick("next", () => showDay(isoDate(localDate(day, 1))));

prepare();
await attempt(document.body, enter);
