// What the scripts of this folder share: every check prints one line that sdk.t turns into a
// test; a line "release MODEL" lets the provider of that model go on. PORT is the gateway;
// LLM_SLOW stretches the deadlines, as in the Perl tests.

import assert from 'node:assert/strict';

const deadlineMs = 20000 * Number(process.env.LLM_SLOW || 1);

export const gateway = `http://127.0.0.1:${process.env.PORT}`;

// What an SDK warns of is a failure too: the gateway's answer was not what it expects.
const warnings = [];
for (const level of ['warn', 'error']) {
    console[level] = (...words) => warnings.push(words.map(String).join(' '));
}
process.on('warning', (warning) => warnings.push(String(warning)));

export async function check(name, body) {
    let timer;
    warnings.length = 0;
    const tooLate = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error('too late')), deadlineMs);
    });
    try {
        await Promise.race([body(), tooLate]);
        if (warnings.length > 0) {
            throw new Error(`warned: ${warnings.join('; ')}`);
        }
        console.log(`ok - ${name}`);
    } catch (error) {
        console.log(`not ok - ${name}`);
        for (const line of String(error.stack || error).split('\n')) {
            console.log(`# ${line}`);
        }
    } finally {
        clearTimeout(timer);
    }
}

export function done() {
    console.log('done');
    process.exit(0);
}

// The error that a call must end with.
export async function failure(promise) {
    let answer;
    try {
        answer = await promise;
    } catch (error) {
        return error;
    }
    throw new Error(`no error, but ${JSON.stringify(answer)}`);
}

// Waits until the gateway counts so many requests in flight. The process stays alive meanwhile:
// its end would close every socket, and prove nothing.
export async function inFlight(wanted) {
    const until = Date.now() + deadlineMs / 2;
    for (;;) {
        const answer = await fetch(`${gateway}/health/readiness`);
        const { in_flight: now } = await answer.json();
        if (now === wanted) {
            return;
        }
        if (Date.now() > until) {
            throw new Error(`${now} requests in flight, not ${wanted}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 5));
    }
}

// Messages of the user name the scenario that the provider of sdk.t plays.
export const play = (scenario) => `Please play scenario:${scenario} now.`;

// What the scenarios answer; sdk.t has the same texts.
export const told = {
    text: 'The harbour is calm, caf\u00e9s are open \u2615.',
    reasoning: 'A question of weather.',
    patch: '*** Begin\n+"caf\u00e9"',
    signature: 'c2lnbmF0dXJlLW9mLXRoaW5raW5n',
    weather: { city: 'Oslo', units: 'C' },
    time: { zone: 'Europe/Oslo', note: 'caf\u00e9 "quoted"' },
    results: { get_weather: '4 degrees', get_time: '12:30' },
    before: 'I shall look.',
    after: 'It is 4 degrees at 12:30.',
    trip: { city: 'Bergen', days: 3 },
};

export const toolNames = ['get_weather', 'get_time'];

export const toolSchemas = {
    get_weather: {
        type: 'object',
        properties: {
            city: { type: 'string', description: 'Where' },
            units: { type: 'string', enum: ['C', 'F'] },
        },
        required: ['city'],
    },
    get_time: {
        type: 'object',
        properties: { zone: { type: 'string' }, note: { type: 'string' } },
        required: ['zone'],
    },
};

export const tripSchema = {
    type: 'object',
    properties: { city: { type: 'string' }, days: { type: 'integer' } },
    required: ['city', 'days'],
    additionalProperties: false,
};

// Calls in common terms: [{id, name, args}].
export function checkToldCalls(calls) {
    assert.deepEqual(calls.map(({ name, args }) => [name, args]),
        [['get_weather', told.weather], ['get_time', told.time]]);
    assert.ok(calls.every(({ id }) => typeof id === 'string' && id !== ''), 'ids');
    assert.notEqual(calls[0].id, calls[1].id);
}
