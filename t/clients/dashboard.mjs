// The dashboard in a real browser: what an operator sees and does, by mouse and by keyboard. ADMIN
// is the location's path, MASTER the master key, SHOT where a picture of the page is put.

import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';
import { check, done, gateway } from './checks.mjs';

const master = process.env.MASTER;
const url = gateway + process.env.ADMIN + 'dashboard';
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox'] });
const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, colorScheme: 'light' });
const page = await context.newPage();
const problems = [];
page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
page.on('pageerror', (error) => problems.push(error.message));
const elsewhere = [];
page.on('request', (request) => {
    if (!request.url().startsWith(gateway) && !request.url().startsWith('data:')) {
        elsewhere.push(request.url());
    }
});

async function api(path, body) {
    const answer = await fetch(gateway + process.env.ADMIN + path, {
        method: body ? 'POST' : 'GET',
        headers: { Authorization: `Bearer ${master}`, 'Content-Type': 'application/json' },
        body: body && JSON.stringify(body),
    });
    assert.equal(answer.status, 200, path);
    return path.endsWith('metrics') ? answer.text() : answer.json();
}

const text = (selector) => page.textContent(selector);
const row = (table, name) => page.locator(`#${table} tbody tr`, { hasText: name });

await check('the page comes without a key, with a strict policy', async () => {
    const answer = await page.goto(url);
    assert.equal(answer.status(), 200);
    const policy = answer.headers()['content-security-policy'];
    assert.match(policy, /default-src 'none'/);
    assert.doesNotMatch(policy, /unsafe/);
    assert.equal(await page.isVisible('#board'), false, 'nothing is shown');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'master', 'ready to type');
});

await check('a wrong key is told so', async () => {
    await page.keyboard.type('sk-wrong');
    await page.keyboard.press('Enter');
    await page.waitForSelector('#problem:not([hidden])');
    assert.match(await text('#problem'), /not the master key/);
    assert.equal(await page.isVisible('#board'), false);
    problems.length = 0; // the browser tells of the 401
});

await check('the master key opens it, by keyboard alone', async () => {
    await page.focus('#master');
    await page.keyboard.type(master);
    await page.keyboard.press('Enter');
    await page.waitForSelector('#board:not([hidden])');
    await page.waitForSelector('#keys tbody tr');
    assert.equal(await page.isVisible('#enter'), false, 'the form is gone');
});

await check('which deployment is down, who spends most, how slow is the first token', async () => {
    const first = page.locator('#deployments tbody tr').first();
    assert.match(await first.textContent(), /^broken-one.*down/);
    assert.match(await row('deployments', 'good-one').textContent(), /up/);
    await page.waitForSelector('#spend-keys tbody td.n');
    assert.match(await page.locator('#spend-keys tbody tr').first().textContent(), /^spender/);
    assert.match(await text('#now-first'), /^\d+(\.\d+)? m?s \/ \d+(\.\d+)? m?s$/);
});

await check('its numbers are those of the metrics page', async () => {
    const samples = (await api('dashboard/metrics')).split('\n');
    const sum = (name, also = '') => samples.filter((l) => l.startsWith(`${name}{`) && l.includes(also)
        && !l.includes('gen_ai_request_model=""')).reduce((s, l) => s + Number(l.slice(l.lastIndexOf(' '))), 0);
    const shown = async (id) => Number((await text(id)).replace(/[$,%]/g, ''));
    assert.equal(await shown('#now-requests'), sum('llm_requests_total'));
    assert.equal(await shown('#now-input'), sum('llm_tokens_total', 'type="input"'));
    assert.equal(await shown('#now-output'), sum('llm_tokens_total', 'type="output"'));
    assert.equal(await shown('#now-cost'), Number(sum('llm_cost_dollars_total').toPrecision(3)));
});

// As Prometheus' histogram_quantile, from the page of metrics alone.
function quantile(samples, q, name, labels) {
    const buckets = new Map();
    for (const line of samples.filter((l) => l.startsWith(`${name}_bucket{`) && l.includes(labels))) {
        const le = Number(line.match(/le="([^"]*)"/)[1].replace('+Inf', 'Infinity'));
        buckets.set(le, (buckets.get(le) ?? 0) + Number(line.slice(line.lastIndexOf(' '))));
    }
    const total = buckets.get(Infinity) ?? 0;
    let [from, below] = [0, 0];
    for (const [le, count] of [...buckets].sort(([a], [b]) => a - b)) {
        if (total && count >= q * total) {
            return le === Infinity ? from : from + (le - from) * (q * total - below) / (count - below);
        }
        [from, below] = [le, count];
    }
    return null;
}

const cells = async (table, name) => (await row(table, name).locator('td').allTextContents());
const number = (shown) => Number(shown.replace(/[$,%]/g, ''));
const shownTime = (s) => s === null ? '-' : s < 1 ? `${Math.round(s * 1000)} ms` : `${s.toFixed(2)} s`;

await check('every number of its tables is on the metrics page', async () => {
    await page.waitForSelector('#spend-teams tbody td.n');
    const samples = (await api('dashboard/metrics')).split('\n');
    const sum = (name, ...also) => samples.filter((l) => l.startsWith(`${name}{`) && also.every((a) => l.includes(a)))
        .reduce((s, l) => s + Number(l.slice(l.lastIndexOf(' '))), 0);
    const near = (shown, exact, what) => assert.ok(Math.abs(number(shown) - exact) <= 0.005 * exact, `${what}: ${shown}, ${exact}`);
    const first = 'gen_ai_server_time_to_first_token_seconds';
    for (const name of ['good-one', 'broken-one']) {
        const at = `deployment="${name}"`;
        const shown = await cells('deployments', name);
        assert.equal(number(shown[2]), sum('llm_deployment_requests_in_flight', at));
        assert.equal(number(shown[3]), sum('llm_requests_total', at), name);
        assert.equal(number(shown[4]), sum('llm_requests_total', at, 'outcome="upstream_error"'), name);
        assert.equal(shown[5], shownTime(quantile(samples, 0.5, first, at)), name);
        assert.equal(shown[6], shownTime(quantile(samples, 0.95, first, at)), name);
        near(shown[7], sum('llm_cost_dollars_total', at), name);
    }
    for (const name of ['good', 'broken']) {
        const at = `gen_ai_request_model="${name}"`;
        const shown = await cells('models', name);
        assert.equal(number(shown[1]), sum('llm_requests_total', at), name);
        assert.equal(number(shown[3]), sum('llm_tokens_total', at), name);
        near(shown[4], sum('llm_cost_dollars_total', at), name);
    }
    for (const [table, label, name] of [['spend-keys', 'key', 'spender'], ['spend-keys', 'key', 'saver'],
        ['spend-teams', 'team', 'crew']]) {
        const at = `${label}="${name}"`;
        const shown = await cells(table, name);
        assert.equal(number(shown[1]), sum('llm_key_requests_total', at), name);
        assert.equal(number(shown[2]), sum('llm_key_tokens_total', at), name);
        near(shown[3], sum('llm_key_cost_dollars_total', at), name);
    }
    assert.equal(await text('#now-first'), `${shownTime(quantile(samples, 0.5, first, ''))} / ${shownTime(quantile(samples, 0.95, first, ''))}`);
    assert.equal(number(await text('#now-flight')), 0);
});

await check('what is left of budgets', async () => {
    const samples = (await api('dashboard/metrics')).split('\n');
    const left = (labels) => Number(samples.find((l) => l.startsWith('llm_budget_remaining_dollars{') && l.includes(labels)).split(' ').pop());
    for (const [table, name, labels, limit, period] of [
        ['spend-teams', 'crew', 'scope="team",name="crew"', 4, '30d'],
        ['spend-keys', 'spender', 'scope="key",name="spender",period="1d"', 1, '1d'],
    ]) {
        const shown = (await cells(table, name)).pop();
        assert.match(shown, new RegExp(`of \\$${limit}.00 / ${period}$`), 'the one that ends first');
        const part = number(shown.trim().split(' ')[0]);
        assert.ok(Math.abs(part - left(labels)) < 0.005, `${shown}: ${left(labels)}`);
        const used = await row(table, name).locator('progress').evaluate((bar) => bar.value);
        assert.ok(Math.abs(used - (limit - left(labels))) < 1e-6, 'the bar');
    }
    assert.equal((await cells('spend-keys', 'saver')).pop(), '-', 'no budget');
    assert.match((await cells('keys', 'spender'))[4], /left of \$1.00 \/ 1d/, 'among the keys, too');
});

await check('recent requests', async () => {
    await page.waitForSelector('#recent tbody td.n');
    assert.match(await page.locator('#recent tbody').textContent(), /good-one.*ok/s);
});

await check('a picture of it', async () => {
    await page.setViewportSize({ width: 1280, height: 1280 });
    await page.evaluate(() => scrollTo(0, 0));
    await page.screenshot({ path: process.env.SHOT });
    await page.setViewportSize({ width: 1280, height: 900 });
});

await check('a key is made, blocked, unblocked and deleted', async () => {
    await page.locator('summary').press('Enter');
    await page.fill('#n-alias', 'made-here');
    await page.fill('#n-budget', '5');
    await page.press('#n-budget', 'Enter');
    await page.waitForFunction(() => document.getElementById('made').textContent.includes('sk-'));
    await page.fill('#find-alias', 'made-here');
    await page.press('#find-alias', 'Enter');
    await row('keys', 'made-here').waitFor();
    await page.waitForFunction(() => document.querySelectorAll('#keys tbody tr').length === 1);
    assert.match(await row('keys', 'made-here').textContent(), /of \$5/);
    await page.getByRole('button', { name: 'Block made-here', exact: true }).press('Enter');
    await page.getByRole('button', { name: 'Unblock made-here' }).waitFor();
    const [key] = (await api('key/list?return_full_object=true&key_alias=made-here')).keys;
    assert.equal(key.blocked, true);
    await page.getByRole('button', { name: 'Unblock made-here' }).click();
    await page.getByRole('button', { name: 'Block made-here', exact: true }).waitFor();
    await page.getByRole('button', { name: 'Delete made-here' }).click();
    await page.locator('#ask button', { hasText: 'Cancel' }).click();
    assert.equal((await api('key/list?key_alias=made-here')).total_count, 1, 'not without a yes');
    await page.getByRole('button', { name: 'Delete made-here' }).click();
    await page.locator('#ask button', { hasText: 'Delete' }).click();
    await page.waitForFunction(() => document.querySelector('#keys td.empty'));
    assert.equal((await api('key/list?key_alias=made-here')).total_count, 0);
});

await check('on a phone, in the dark', async () => {
    await page.emulateMedia({ colorScheme: 'dark' });
    await page.setViewportSize({ width: 375, height: 700 });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.equal(wide, 0, 'nothing sticks out');
    const back = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const dark = await back();
    await page.click('#theme');
    assert.notEqual(await back(), dark, 'the other theme by hand');
});

await check('signing out forgets the key', async () => {
    await page.click('#leave');
    assert.equal(await page.isVisible('#board'), false);
    assert.equal(await page.evaluate(() => sessionStorage.length + localStorage.length), 0);
});

await check('no error in the console, nothing from elsewhere', async () => {
    assert.deepEqual(problems, []);
    assert.deepEqual(elsewhere, []);
});

await browser.close();
done();
