// The dashboard with KEYS keys in a real browser: it opens, turns its pages and finds one of them
// while its numbers come anew every few seconds.

import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';
import { check, done, gateway } from './checks.mjs';

const keys = Number(process.env.KEYS);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox'] });
const page = await browser.newPage();
const problems = [];
page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
page.on('pageerror', (error) => problems.push(error.message));

const rows = () => page.locator('#keys tbody tr').count();

await check('it opens', async () => {
    await page.goto(gateway + '/admin/dashboard');
    await page.fill('#master', process.env.MASTER);
    await page.press('#master', 'Enter');
    await page.waitForSelector('#board:not([hidden])');
    await page.waitForSelector('#keys tbody tr');
    assert.equal(await page.textContent('#key-count'), `(${keys.toLocaleString('en-US')})`);
    assert.equal(await page.textContent('#page'), `page 1 of ${keys / 20}`);
    assert.equal(await rows(), 20, 'a page of them');
});

await check('who spends most of all', async () => {
    await page.waitForSelector('#spend-keys tbody td.n');
    assert.match(await page.locator('#spend-keys tbody tr').first().textContent(), /^many-7777/);
    assert.ok(await page.locator('#spend-keys tbody tr').count() <= 10, 'and no more than ten');
});

await check('pages are turned', async () => {
    const first = await page.textContent('#keys tbody');
    await page.press('#next', 'Enter');
    await page.waitForFunction(() => document.getElementById('page').textContent.startsWith('page 2 '));
    assert.equal(await rows(), 20);
    assert.notEqual(await page.textContent('#keys tbody'), first, 'other keys');
});

await check('one is found, with what it has spent', async () => {
    await page.fill('#find-alias', 'many-7777');
    await page.press('#find-alias', 'Enter');
    await page.waitForFunction(() => document.querySelectorAll('#keys tbody tr').length === 1);
    const all = await fetch(`${gateway}/admin/key/list?return_full_object=true&key_alias=many-7777`, {
        headers: { Authorization: `Bearer ${process.env.MASTER}` },
    });
    const [key] = (await all.json()).keys;
    assert.ok(key.spend > 0);
    assert.ok((await page.textContent('#keys tbody tr')).includes('$' + key.spend.toPrecision(3).replace(/0+$/, '')));
});

await check('its numbers come anew, and nothing breaks', async () => {
    for (let i = 0; i < 2; i++) {
        const before = await page.textContent('#updated');
        await page.waitForFunction((old) => document.getElementById('updated').textContent !== old, before);
    }
    assert.deepEqual(problems, []);
});

await browser.close();
done();
