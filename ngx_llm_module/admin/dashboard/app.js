// The dashboard: reads the metrics page and the admin API of the gateway that served it, and shows
// them. Every number on it is one of theirs; nothing is kept but the last minutes of the charts.
'use strict';

const $ = (id) => document.getElementById(id);
const api = new URL('..', document.baseURI).pathname;
const period = 5000;
const history = [];
let master = sessionStorage.getItem('llm-master') || '';
let keyPage = 1;
let timer = 0;
let isAway = false; // what other machines have spent is not known
let latest = null; // the metrics page as it was read last

// --- talking to the gateway ------------------------------------------------------------------

class Refused extends Error {}

async function call(path, body) {
  const answer = await fetch(api + path, {
    method: body ? 'POST' : 'GET',
    headers: { Authorization: 'Bearer ' + master, ...(body ? { 'Content-Type': 'application/json' } : {}) },
    body: body ? JSON.stringify(body) : undefined,
    cache: 'no-store',
  });
  const text = await answer.text();
  if (answer.headers.has('x-llm-spend')) isAway = answer.headers.get('x-llm-spend') === 'Redis is away';
  if (answer.status === 401 || answer.status === 403) throw new Refused('This key is not the master key.');
  if (!answer.ok) {
    let what = text.slice(0, 200);
    try { what = JSON.parse(text).error.message; } catch { /* not JSON: as it is */ }
    throw new Error(what || 'status ' + answer.status);
  }
  return path.endsWith('metrics') ? text : JSON.parse(text);
}

// Prometheus' text as [{name, labels, value}].
function parse(text) {
  const samples = [];
  for (const line of text.split('\n')) {
    if (!line || line[0] === '#') continue;
    const brace = line.indexOf('{');
    const blank = line.lastIndexOf(' ');
    const labels = {};
    if (brace > 0) {
      for (const [, key, value] of line.slice(brace, blank).matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
        labels[key] = value.replace(/\\(.)/g, '$1');
      }
    }
    samples.push({ name: line.slice(0, brace > 0 ? brace : blank), labels, value: Number(line.slice(blank + 1)) });
  }
  return samples;
}

class Metrics {
  constructor(text) {
    this.by = new Map();
    for (const sample of parse(text)) {
      if (!this.by.has(sample.name)) this.by.set(sample.name, []);
      this.by.get(sample.name).push(sample);
    }
  }
  all(name) { return this.by.get(name) || []; }
  sum(name, wanted = () => true) {
    return this.all(name).reduce((sum, s) => sum + (wanted(s.labels) ? s.value : 0), 0);
  }
  // As Prometheus' histogram_quantile.
  quantile(q, name, wanted = () => true) {
    const buckets = new Map();
    for (const s of this.all(name + '_bucket')) {
      if (!wanted(s.labels)) continue;
      const le = s.labels.le === '+Inf' ? Infinity : Number(s.labels.le);
      buckets.set(le, (buckets.get(le) || 0) + s.value);
    }
    const bounds = [...buckets.keys()].sort((a, b) => a - b);
    const total = buckets.get(Infinity) || 0;
    if (!total) return null;
    let below = 0;
    let from = 0;
    for (const le of bounds) {
      const count = buckets.get(le);
      if (count >= q * total) {
        return le === Infinity ? from : from + (le - from) * (q * total - below) / (count - below);
      }
      below = count;
      from = le;
    }
    return null;
  }
}

// --- words for numbers -----------------------------------------------------------------------

const whole = (n) => Math.round(n).toLocaleString('en-US');
const dollars = (n) => '$' + (n === 0 ? '0' : n >= 1 ? n.toFixed(2) : n.toPrecision(3).replace(/0+$/, ''));
const share = (n) => (100 * n).toFixed(1) + ' %';
const time = (s) => s === null ? '-' : s < 1 ? Math.round(s * 1000) + ' ms' : s.toFixed(2) + ' s';

// --- drawing ---------------------------------------------------------------------------------

function element(name, text, classes) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (classes) made.className = classes;
  return made;
}

// columns: [title, cell(row), classes]; a cell is text or an element.
function table(id, caption, columns, rows) {
  const head = element('tr');
  for (const [title, , classes] of columns) {
    const cell = element('th', title, classes);
    cell.scope = 'col';
    head.append(cell);
  }
  const body = element('tbody');
  for (const row of rows) {
    const line = element('tr');
    for (const [, cell, classes] of columns) {
      const shown = cell(row);
      const td = element('td', undefined, classes);
      td.append(shown instanceof Node ? shown : String(shown));
      line.append(td);
    }
    body.append(line);
  }
  if (!rows.length) {
    const td = element('td', 'none yet', 'empty');
    td.colSpan = columns.length;
    const line = element('tr');
    line.append(td);
    body.append(line);
  }
  const thead = element('thead');
  thead.append(head);
  $(id).replaceChildren(...(caption ? [element('caption', caption)] : []), thead, body);
}

function tiles(list) {
  $('tiles').replaceChildren(...list.map(([name, value, id]) => {
    const tile = element('div', undefined, 'tile');
    const number = element('b', value);
    number.id = id;
    tile.append(number, element('span', name));
    return tile;
  }));
}

function shape(name, attributes) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function line(id, values, format) {
  const svg = $(id);
  const top = Math.max(...values, 1e-12);
  svg.setAttribute('viewBox', '0 0 100 100');
  svg.setAttribute('preserveAspectRatio', 'none');
  const step = 100 / Math.max(values.length - 1, 1);
  const points = values.map((v, i) => (i * step).toFixed(2) + ',' + (98 - 94 * v / top).toFixed(2));
  svg.replaceChildren(shape('polygon', { points: '0,100 ' + points.join(' ') + ' 100,100' }), shape('polyline', { points: points.join(' ') }));
  $(id + '-now').textContent = values.length ? format(values[values.length - 1]) : '';
}

function bars(id, values, format) {
  const svg = $(id);
  const top = Math.max(...values, 1e-12);
  const width = 100 / Math.max(values.length, 7);
  svg.setAttribute('viewBox', '0 0 100 100');
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.replaceChildren(...values.map((v, i) => shape('rect', { x: i * width, y: 100 - 96 * v / top, width: width * 0.8, height: 96 * v / top })));
  $(id + '-now').textContent = values.length ? format(values[values.length - 1]) : '';
}

// --- the parts of the page -------------------------------------------------------------------

const failed = (labels) => ['upstream_error', 'cut', 'timeout'].includes(labels.outcome);
const asked = (labels) => labels.gen_ai_request_model !== '';

function showNow(m) {
  const requests = m.sum('llm_requests_total', asked);
  const errors = m.sum('llm_requests_total', (l) => asked(l) && failed(l));
  const first = 'gen_ai_server_time_to_first_token_seconds';
  tiles([
    ['in flight', whole(m.sum('llm_requests_in_flight')), 'now-flight'],
    ['requests', whole(requests), 'now-requests'],
    ['failed', requests ? share(errors / requests) : '0 %', 'now-failed'],
    ['input tokens', whole(m.sum('llm_tokens_total', (l) => l.gen_ai_token_type === 'input')), 'now-input'],
    ['output tokens', whole(m.sum('llm_tokens_total', (l) => l.gen_ai_token_type === 'output')), 'now-output'],
    ['spent', dollars(m.sum('llm_cost_dollars_total')), 'now-cost'],
    ['first content, half / 95 %', time(m.quantile(0.5, first)) + ' / ' + time(m.quantile(0.95, first)), 'now-first'],
    ['overhead, half / 95 %', time(m.quantile(0.5, 'llm_overhead_seconds', asked)) + ' / ' + time(m.quantile(0.95, 'llm_overhead_seconds', asked)), 'now-overhead'],
  ]);
}

// Down: put aside, or none of at least three requests went well.
function showDeployments(m) {
  const names = new Set(m.all('llm_deployment_requests_in_flight').map((s) => s.labels.deployment));
  for (const s of m.all('llm_requests_total')) names.add(s.labels.deployment);
  const rows = [...names].filter(Boolean).map((name) => {
    const mine = (l) => l.deployment === name;
    const state = m.all('llm_deployment_state').find((s) => mine(s.labels));
    const requests = m.sum('llm_requests_total', mine);
    const errors = m.sum('llm_requests_total', (l) => mine(l) && failed(l));
    const down = (state && state.value === 0) || (requests >= 3 && errors === requests);
    return { name, mine, requests, errors, down };
  }).sort((a, b) => b.down - a.down || b.requests - a.requests || (a.name < b.name ? -1 : 1)).slice(0, 100);
  const first = 'gen_ai_server_time_to_first_token_seconds';
  table('deployments', '', [
    ['Deployment', (r) => r.name],
    ['State', (r) => element('span', r.down ? 'down' : r.requests ? 'up' : 'idle', r.down ? 'bad' : 'good')],
    ['In flight', (r) => whole(m.sum('llm_deployment_requests_in_flight', r.mine)), 'n'],
    ['Requests', (r) => whole(r.requests), 'n'],
    ['Failed', (r) => whole(r.errors), 'n'],
    ['First content, half', (r) => time(m.quantile(0.5, first, r.mine)), 'n'],
    ['95 %', (r) => time(m.quantile(0.95, first, r.mine)), 'n'],
    ['Spent', (r) => dollars(m.sum('llm_cost_dollars_total', r.mine)), 'n'],
  ], rows);
}

function showModels(m) {
  const rows = new Map();
  for (const [name, member] of [['llm_requests_total', 'requests'], ['llm_tokens_total', 'tokens'], ['llm_cost_dollars_total', 'cost']]) {
    for (const s of m.all(name)) {
      const model = s.labels.gen_ai_request_model;
      if (!model) continue;
      if (!rows.has(model)) rows.set(model, { model, requests: 0, errors: 0, tokens: 0, cost: 0 });
      rows.get(model)[member] += s.value;
      if (member === 'requests' && failed(s.labels)) rows.get(model).errors += s.value;
    }
  }
  table('models', '', [
    ['Model', (r) => r.model], ['Requests', (r) => whole(r.requests), 'n'], ['Failed', (r) => whole(r.errors), 'n'],
    ['Tokens', (r) => whole(r.tokens), 'n'], ['Spent', (r) => dollars(r.cost), 'n'],
  ], [...rows.values()].sort((a, b) => b.cost - a.cost || b.requests - a.requests).slice(0, 50));
}

function showCharts(m) {
  const now = { at: Date.now(), tokens: m.sum('llm_tokens_total'), cost: m.sum('llm_cost_dollars_total'), flight: m.sum('llm_requests_in_flight') };
  history.push(now);
  if (history.length > 180) history.shift();
  const rate = (member, unit) => history.slice(1).map((h, i) =>
    Math.max(0, unit * 1000 * (h[member] - history[i][member]) / Math.max(h.at - history[i].at, 1)));
  line('c-tokens', rate('tokens', 1), whole);
  line('c-cost', rate('cost', 60), dollars);
  line('c-flight', history.map((h) => h.flight), whole);
}

// What is left of a budget, as the metrics tell it; of several the one that ends first.
function budgetOf(scope, name) {
  let least = null;
  for (const s of latest ? latest.all('llm_budget_limit_dollars') : []) {
    if (s.labels.scope !== scope || s.labels.name !== name) continue;
    const left = latest.sum('llm_budget_remaining_dollars', (l) => l.scope === scope && l.name === name && l.period === s.labels.period);
    if (!least || left * least.limit < least.left * s.value) least = { limit: s.value, left, period: s.labels.period };
  }
  if (!least) return document.createTextNode('-');
  const cell = element('span');
  const bar = element('progress');
  bar.max = Math.max(least.limit, 1e-9);
  bar.value = least.limit - least.left;
  bar.setAttribute('aria-label', 'budget of ' + name + ' that is used');
  cell.append(bar, ' ' + dollars(least.left) + ' left of ' + dollars(least.limit) + (least.period ? ' / ' + least.period : ''));
  return cell;
}

async function showSpend() {
  const [keys, teams, days] = await Promise.all([call('global/spend/keys?limit=10'), call('global/spend/teams?limit=10'), call('user/daily/activity')]);
  const columns = (title, scope, name) => [[title, name], ['Requests', (r) => whole(r.log_count), 'n'], ['Tokens', (r) => whole(r.total_tokens), 'n'], ['Spent', (r) => dollars(r.total_spend), 'n'], ['Budget', (r) => budgetOf(scope, name(r))]];
  table('spend-keys', 'Keys', columns('Key', 'key', (r) => r.key_alias || r.api_key.slice(0, 8)), keys);
  table('spend-teams', 'Teams', columns('Team', 'team', (r) => r.team_id), teams);
  bars('c-days', days.results.slice(0, 30).reverse().map((d) => d.metrics.spend), dollars);
}

async function showRecent() {
  const list = await call('spend/logs?limit=30');
  table('recent', '', [
    ['When', (r) => r.endTime.slice(11, 19)], ['Key', (r) => r.key_alias || r.api_key.slice(0, 8)], ['Model', (r) => r.model],
    ['Served by', (r) => r.deployment], ['Outcome', (r) => element('span', r.outcome, r.outcome === 'ok' ? 'good' : 'bad')],
    ['First content', (r) => r.first_content_ms ? r.first_content_ms + ' ms' : '-', 'n'], ['Time', (r) => r.duration_ms + ' ms', 'n'],
    ['In', (r) => whole(r.prompt_tokens), 'n'], ['Out', (r) => whole(r.completion_tokens), 'n'], ['Cost', (r) => dollars(r.spend), 'n'],
  ], list);
}

// --- keys ------------------------------------------------------------------------------------

const nameOf = (key) => key.key_alias || key.token.slice(0, 8);

function actionsOf(key) {
  const cell = element('span');
  if (key.source === 'configuration') return element('span', 'in nginx.conf');
  const name = nameOf(key);
  const button = (text, run, classes) => {
    const made = element('button', text, classes);
    made.type = 'button';
    made.setAttribute('aria-label', text + ' ' + name);
    made.addEventListener('click', () => attempt(run));
    cell.append(made, ' ');
  };
  button(key.blocked ? 'Unblock' : 'Block', async () => {
    await call(key.blocked ? 'key/unblock' : 'key/block', { key: key.token });
    await showKeys();
  });
  button('Delete', async () => {
    $('ask-text').textContent = 'Delete the key ' + name + '?';
    $('ask').returnValue = '';
    $('ask').showModal();
    await new Promise((done) => $('ask').addEventListener('close', done, { once: true }));
    if ($('ask').returnValue !== 'yes') return;
    await call('key/delete', { keys: [key.token] });
    await showKeys();
  }, 'danger');
  return cell;
}

async function showKeys() {
  latest = new Metrics(await call('dashboard/metrics'));
  const query = new URLSearchParams({ return_full_object: 'true', page: keyPage, size: 20 });
  if ($('find-alias').value) query.set('key_alias', $('find-alias').value);
  if ($('find-team').value) query.set('team_id', $('find-team').value);
  const list = await call('key/list?' + query);
  $('key-count').textContent = '(' + whole(list.total_count) + ')';
  $('page').textContent = 'page ' + list.current_page + ' of ' + Math.max(list.total_pages, 1);
  $('previous').disabled = keyPage <= 1;
  $('next').disabled = keyPage >= list.total_pages;
  table('keys', '', [
    ['Key', nameOf], ['Team', (k) => k.team_id || ''],
    ['State', (k) => element('span', k.blocked ? 'blocked' : 'active', k.blocked ? 'bad' : 'good')],
    ['Spent', (k) => dollars(k.spend || 0), 'n'], ['Budget', (k) => budgetOf('key', nameOf(k))], ['', actionsOf],
  ], list.keys);
}

async function makeKey() {
  const body = { key_alias: $('n-alias').value };
  if ($('n-team').value) body.team_id = $('n-team').value;
  if ($('n-models').value.trim()) body.models = $('n-models').value.trim().split(/\s+/);
  if ($('n-budget').value) body.max_budget = Number($('n-budget').value);
  if ($('n-period').value) body.budget_duration = $('n-period').value;
  if ($('n-expires').value) body.duration = $('n-expires').value;
  const made = await call('key/generate', body);
  $('make').reset();
  $('made').textContent = 'Copy it now, it is not shown again: ' + made.key;
  await showKeys();
}

// --- the clock -------------------------------------------------------------------------------

function say(problem) {
  $('problem').hidden = !problem;
  $('problem').textContent = problem;
}

async function attempt(run) {
  try {
    await run();
    say('');
  } catch (error) {
    if (error instanceof Refused) leave();
    say(error.message);
  }
}

async function refresh() {
  const m = latest = new Metrics(await call('dashboard/metrics'));
  $('enter').hidden = true;
  $('board').hidden = false;
  $('leave').hidden = false;
  showNow(m);
  showDeployments(m);
  showModels(m);
  showCharts(m);
  await Promise.all([showSpend(), showRecent()]);
  $('updated').textContent = 'Updated ' + new Date().toLocaleTimeString() + (isAway ? ' - Redis is away: spend of other machines is old' : '');
}

function tick() {
  clearTimeout(timer);
  if (!master) return;
  attempt(refresh).finally(() => { timer = setTimeout(tick, period); });
}

function leave() {
  master = '';
  sessionStorage.removeItem('llm-master');
  clearTimeout(timer);
  $('board').hidden = true;
  $('leave').hidden = true;
  $('enter').hidden = false;
  $('updated').textContent = '';
  $('made').textContent = '';
  $('master').focus();
}

function on(id, event, run) {
  $(id).addEventListener(event, (e) => { e.preventDefault(); run(); });
}

on('enter', 'submit', () => {
  master = $('master').value;
  $('master').value = '';
  sessionStorage.setItem('llm-master', master);
  tick();
  attempt(showKeys);
});
on('leave', 'click', () => { leave(); say(''); });
on('find', 'submit', () => { keyPage = 1; attempt(showKeys); });
on('previous', 'click', () => { keyPage--; attempt(showKeys); });
on('next', 'click', () => { keyPage++; attempt(showKeys); });
on('make', 'submit', () => attempt(makeKey));
on('theme', 'click', () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  root.dataset.theme = dark ? 'light' : 'dark';
});

if (master) {
  tick();
  attempt(showKeys);
} else {
  $('master').focus();
}
