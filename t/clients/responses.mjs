// The official `openai` SDK and its Responses API: node responses.mjs MODEL... (see sdk.t)

import assert from 'node:assert/strict';
import OpenAI from 'openai';
import {
    check, checkToldCalls, done, failure, gateway, inFlight, play, told, toolNames, toolSchemas,
    tripSchema,
} from './checks.mjs';

const client = new OpenAI({ apiKey: 'sk-client', baseURL: `${gateway}/v1`, maxRetries: 0 });
const tools = toolNames.map((name) => ({
    type: 'function',
    name,
    description: `Calls ${name}`,
    parameters: toolSchemas[name],
    strict: false,
}));
const callsOf = (answer) => answer.output.filter((item) => item.type === 'function_call');

function checkCalls(answer) {
    const calls = callsOf(answer);
    checkToldCalls(calls.map((call) =>
        ({ id: call.call_id, name: call.name, args: JSON.parse(call.arguments) })));
    assert.equal(answer.output_text, told.before);
    assert.equal(answer.status, 'completed');
    assert.ok(calls.every((call) => call.id && call.status === 'completed'));
}

const withResults = (answer, scenario = 'tools') => [
    { role: 'user', content: play(scenario) },
    ...answer.output,
    ...callsOf(answer).map((call) =>
        ({ type: 'function_call_output', call_id: call.call_id, output: told.results[call.name] })),
];

function checkUsage(usage) {
    assert.equal(usage.input_tokens, 30);
    assert.equal(usage.input_tokens_details.cached_tokens, 10);
    assert.equal(usage.output_tokens, 9);
    assert.equal(usage.output_tokens_details.reasoning_tokens, 0);
    assert.equal(usage.total_tokens, 39);
}

// Every stream of events is whole: numbered, opened before it is added to, and closed.
function checkEvents(events) {
    assert.deepEqual(events.map((event) => event.sequence_number), events.map((_, n) => n));
    assert.deepEqual(events.slice(0, 2).map((event) => event.type),
        ['response.created', 'response.in_progress']);
    assert.equal(events.at(-1).type, 'response.completed');
    const { output } = events.at(-1).response;
    const of = (type) => events.filter((event) => event.type === type);
    const added = of('response.output_item.added');
    const finished = of('response.output_item.done');
    assert.deepEqual(added.map((event) => event.output_index), output.map((_, n) => n));
    assert.deepEqual(added.map((event) => event.item.id), output.map((item) => item.id));
    assert.deepEqual(finished.map((event) => event.item), output);
    for (const item of output) {
        const ofItem = events.filter((event) => event.item_id === item.id);
        const pieces = ofItem.filter((event) => event.type.endsWith('.delta'))
            .map((event) => event.delta);
        const whole = item.arguments ?? item.input ?? item.content?.[0]?.text ?? item.summary[0]?.text ?? '';
        assert.equal(pieces.join(''), whole);
        assert.ok(ofItem.every((event) => event.output_index === output.indexOf(item)));
    }
}

async function checksOf(model) {
    const base = { model, instructions: 'You are brief.' };
    const create = (scenario, more = {}) =>
        client.responses.create({ ...base, input: play(scenario), ...more });

    await check(`${model}: text`, async () => {
        const answer = await create('text', { max_output_tokens: 100, temperature: 0.5 });
        assert.equal(answer.object, 'response');
        assert.equal(answer.status, 'completed');
        assert.equal(answer.output_text, told.text);
        assert.deepEqual(answer.output.map((item) => item.type), ['message']);
        assert.deepEqual(answer.output[0].content[0].annotations, []);
        checkUsage(answer.usage);
    });

    await check(`${model}: text, streamed`, async () => {
        const events = [];
        for await (const event of await create('text', { stream: true })) {
            events.push(event);
        }
        checkEvents(events);
        const { response } = events.at(-1);
        assert.equal(response.output[0].content[0].text, told.text);
        checkUsage(response.usage);
        assert.deepEqual(events.map((event) => event.type)
            .filter((type, n, all) => type !== all[n - 1]), [
            'response.created', 'response.in_progress', 'response.output_item.added',
            'response.content_part.added', 'response.output_text.delta',
            'response.output_text.done', 'response.content_part.done',
            'response.output_item.done', 'response.completed',
        ]);
    });

    await check(`${model}: reasoning`, async () => {
        const more = { reasoning: { effort: 'low', summary: 'auto' }, store: false,
            include: ['reasoning.encrypted_content'] };
        const whole = await create('thinking', more);
        const events = [];
        for await (const event of await create('thinking', { ...more, stream: true })) {
            events.push(event);
        }
        checkEvents(events);
        for (const answer of [whole, events.at(-1).response]) {
            const [reasoning, message] = answer.output;
            assert.equal(reasoning.type, 'reasoning');
            assert.equal(reasoning.summary[0].text, told.reasoning);
            assert.equal(message.content[0].text, told.text);
            const next = await client.responses.create({ ...base, ...more, input: [
                { role: 'user', content: play('thinking') },
                ...answer.output,
                { role: 'user', content: 'And in the evening?' },
            ] });
            assert.equal(next.status, 'completed');
        }
    });

    await check(`${model}: two calls, then their results`, async () => {
        const answer = await create('tools', { tools, tool_choice: 'auto' });
        checkCalls(answer);
        const second = await client.responses.create(
            { ...base, input: withResults(answer), tools });
        assert.equal(second.output_text, told.after);
        checkUsage(second.usage);
    });

    await check(`${model}: two calls, then their results, streamed`, async () => {
        const events = [];
        const stream = client.responses.stream({ ...base, input: play('tools'), tools })
            .on('event', (event) => events.push(event));
        const answer = await stream.finalResponse();
        checkCalls(answer);
        checkEvents(events);
        const second = client.responses.stream({ ...base, input: withResults(answer), tools });
        assert.equal((await second.finalResponse()).output_text, told.after);
    });

    await check(`${model}: reasoning and two calls, then their results`, async () => {
        const more = { tools, reasoning: { effort: 'low', summary: 'auto' }, store: false,
            include: ['reasoning.encrypted_content'] };
        const streamed = client.responses.stream({ ...base, input: play('signed'), ...more });
        for (const answer of [await create('signed', more), await streamed.finalResponse()]) {
            checkCalls(answer);
            assert.equal(answer.output[0].type, 'reasoning');
            assert.equal(answer.output[0].summary[0].text, told.reasoning);
            const second = await client.responses.create(
                { ...base, ...more, input: withResults(answer, 'signed') });
            assert.equal(second.output_text, told.after);
        }
    });

    await check(`${model}: a free text tool, streamed, then its result`, async () => {
        const events = [];
        const more = { ...base, tools: [{ type: 'custom', name: 'patch' }] };
        const stream = client.responses.stream({ ...more, input: play('patch') })
            .on('event', (event) => events.push(event));
        const answer = await stream.finalResponse();
        checkEvents(events);
        const [call] = answer.output;
        assert.deepEqual([call.type, call.name, call.input], ['custom_tool_call', 'patch', told.patch]);
        const deltas = events.filter(
            (event) => event.type === 'response.custom_tool_call_input.delta');
        assert.ok(deltas.length > 1 || model === 'gemini', 'in pieces');
        const second = await client.responses.create({ ...more, input: [
            { role: 'user', content: play('patch') },
            ...answer.output,
            { type: 'custom_tool_call_output', call_id: call.call_id, output: 'patched' },
        ] });
        assert.equal(second.output_text, told.after);
    });

    await check(`${model}: structured output`, async () => {
        const text = {
            format: { type: 'json_schema', name: 'trip', strict: true, schema: tripSchema },
        };
        const answer = await client.responses.parse({ ...base, input: play('structured'), text });
        assert.deepEqual(answer.output_parsed, told.trip);
        const stream = client.responses.stream({ ...base, input: play('structured'), text });
        assert.deepEqual(JSON.parse((await stream.finalResponse()).output_text), told.trip);
    });

    const refusals = [
        ['bad-request', OpenAI.BadRequestError, 400],
        ['no-permission', OpenAI.PermissionDeniedError, 403],
        ['rate-limit', OpenAI.RateLimitError, 429],
        ['overloaded', OpenAI.InternalServerError, 503],
    ];
    for (const [scenario, kind, status] of refusals) {
        await check(`${model}: ${scenario}`, async () => {
            for (const stream of [false, true]) {
                const error = await failure(create(scenario, { stream }));
                assert.ok(error instanceof kind, String(error));
                assert.equal(error.status, status);
                assert.match(error.message, /told by the provider/);
            }
        });
    }

    // The SDK hands the events on, and leaves it to the client to look.
    for (const scenario of ['cut', 'error-event']) {
        await check(`${model}: ${scenario} in mid-stream fails`, async () => {
            const events = [];
            let text = '';
            for await (const event of await create(scenario, { stream: true })) {
                events.push(event);
                if (event.type === 'response.output_text.delta') {
                    if (text === '') {
                        console.log(`release ${model}`);
                    }
                    text += event.delta;
                }
            }
            assert.ok(text.length > 0 && told.text.startsWith(text), `text: ${text}`);
            assert.deepEqual(events.map((event) => event.sequence_number),
                events.map((_, n) => n));
            const [error, failed] = events.slice(-2);
            assert.equal(error.type, 'error');
            assert.ok(error.message);
            assert.equal(failed.type, 'response.failed');
            assert.equal(failed.response.status, 'failed');
            assert.equal(failed.response.error.message, error.message);
        });
    }

    await check(`${model}: abort() in mid-stream`, async () => {
        const stream = await create('endless', { stream: true });
        for await (const event of stream) {
            if (event.type === 'response.output_text.delta') {
                await inFlight(1);
                stream.controller.abort();
                break;
            }
        }
        await inFlight(0);
    });
}

for (const model of process.argv.slice(2)) {
    await checksOf(model);
}

await check('an unknown model', async () => {
    const error = await failure(client.responses.create({ model: 'nobody', input: 'Hello' }));
    assert.ok(error instanceof OpenAI.NotFoundError, String(error));
});

done();
