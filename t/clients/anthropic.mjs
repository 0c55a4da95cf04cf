// The official `@anthropic-ai/sdk` as a client: node anthropic.mjs MODEL... (see sdk.t)

import assert from 'node:assert/strict';
import Anthropic from '@anthropic-ai/sdk';
import { jsonSchemaOutputFormat } from '@anthropic-ai/sdk/helpers/json-schema';
import { check, done, failure, gateway, inFlight, play, told, tripSchema } from './checks.mjs';

const client = new Anthropic({ apiKey: 'sk-client', baseURL: gateway, maxRetries: 0 });
const ask = (scenario) => [{ role: 'user', content: play(scenario) }];
const tools = ['get_weather', 'get_time'].map((name) => ({
    name,
    description: `Calls ${name}`,
    input_schema: { type: 'object', properties: { city: { type: 'string' } } },
}));

function checkCalls(message) {
    const calls = message.content.filter((block) => block.type === 'tool_use');
    assert.deepEqual(calls.map((call) => [call.name, call.input]),
        [['get_weather', told.weather], ['get_time', told.time]]);
    assert.notEqual(calls[0].id, calls[1].id);
    assert.match(calls[0].id, /^[a-zA-Z0-9_-]+$/);
    assert.equal(message.stop_reason, 'tool_use');
}

const withResults = (message, scenario = 'tools') => {
    const [first, second] = message.content.filter((block) => block.type === 'tool_use');
    return [
        ...ask(scenario),
        { role: 'assistant', content: message.content },
        {
            role: 'user',
            content: [
                { type: 'tool_result', tool_use_id: first.id, content: '4 degrees' },
                {
                    type: 'tool_result',
                    tool_use_id: second.id,
                    content: [{ type: 'text', text: '12:30' }],
                },
            ],
        },
    ];
};

async function checksOf(model) {
    const base = { model, max_tokens: 2000, system: 'You are brief.' };
    const create = (scenario, more = {}) =>
        client.messages.create({ ...base, messages: ask(scenario), ...more });
    const stream = (scenario, more = {}) =>
        client.messages.stream({ ...base, messages: ask(scenario), ...more });

    await check(`${model}: text`, async () => {
        const answer = await create('text', { temperature: 0.5 });
        assert.deepEqual(answer.content.map(({ type, text }) => [type, text]),
            [['text', told.text]]);
        assert.equal(answer.type, 'message');
        assert.equal(answer.role, 'assistant');
        assert.equal(answer.stop_reason, 'end_turn');
        assert.equal(answer.usage.input_tokens, 20);
        assert.equal(answer.usage.cache_read_input_tokens, 10);
        assert.equal(answer.usage.output_tokens, 9);
    });

    await check(`${model}: text, streamed`, async () => {
        const types = [];
        let text = '';
        const answer = stream('text').on('streamEvent', (event) => types.push(event.type))
            .on('text', (piece) => { text += piece; });
        const message = await answer.finalMessage();
        assert.equal(text, told.text);
        assert.equal(message.content[0].text, told.text);
        assert.equal(message.stop_reason, 'end_turn');
        assert.equal(message.usage.input_tokens, 20);
        assert.equal(message.usage.cache_read_input_tokens, 10);
        assert.equal(message.usage.output_tokens, 9);
        assert.equal(types[0], 'message_start');
        assert.equal(types.at(-1), 'message_stop');
        assert.equal(types.filter((type) => type === 'message_start').length, 1);
    });

    await check(`${model}: thinking is shown, and taken back`, async () => {
        const thinking = { type: 'enabled', budget_tokens: 1024 };
        const whole = await create('thinking', { thinking });
        const streamed = await stream('thinking', { thinking }).finalMessage();
        for (const answer of [whole, streamed]) {
            // Behind the text may be a block without any: a signature that belongs to it.
            const shown = answer.content.filter((block) => block.thinking !== '');
            assert.deepEqual(shown.map((block) => block.type), ['thinking', 'text']);
            assert.equal(answer.content[0].thinking, told.reasoning);
            assert.equal(answer.content[1].text, told.text);
            const next = await client.messages.create({
                ...base,
                thinking,
                messages: [
                    ...ask('thinking'),
                    { role: 'assistant', content: answer.content },
                    { role: 'user', content: 'And in the evening?' },
                ],
            });
            assert.equal(next.stop_reason, 'end_turn');
        }
    });

    await check(`${model}: no thinking where it was not enabled`, async () => {
        if (model.startsWith('claude')) {
            return;               // the provider decides: its bytes pass untouched
        }
        const answer = await create('thinking');
        assert.deepEqual(answer.content.map((block) => block.type), ['text']);
    });

    await check(`${model}: two calls, then their results`, async () => {
        const answer = await create('tools', { tools, tool_choice: { type: 'auto' } });
        checkCalls(answer);
        const messages = withResults(answer);
        const second = await client.messages.create({ ...base, messages, tools });
        assert.equal(second.content[0].text, told.after);
        assert.equal(second.stop_reason, 'end_turn');
    });

    await check(`${model}: two calls, then their results, streamed`, async () => {
        const answer = await stream('tools', { tools }).finalMessage();
        checkCalls(answer);
        const messages = withResults(answer);
        const second = client.messages.stream({ ...base, messages, tools });
        assert.equal(await second.finalText(), told.after);
    });

    await check(`${model}: thoughts and two calls, then their results`, async () => {
        const more = { tools, thinking: { type: 'enabled', budget_tokens: 1024 } };
        for (const answer of [await create('signed', more),
            await stream('signed', more).finalMessage()]) {
            checkCalls(answer);
            assert.equal(answer.content[0].type, 'thinking');
            assert.equal(answer.content[0].thinking, told.reasoning);
            const messages = withResults(answer, 'signed');
            const second = await client.messages.create({ ...base, ...more, messages });
            assert.equal(second.content[0].text, told.after);
        }
    });

    await check(`${model}: structured output`, async () => {
        const outputConfig = { format: jsonSchemaOutputFormat(tripSchema) };
        const answer = await client.messages.parse(
            { ...base, messages: ask('structured'), output_config: outputConfig });
        assert.deepEqual(answer.parsed_output, told.trip);
        assert.equal(answer.stop_reason, 'end_turn');
        const streamed = await stream('structured', { output_config: outputConfig })
            .finalMessage();
        assert.deepEqual(streamed.parsed_output, told.trip);
    });

    const refusals = [
        ['bad-request', Anthropic.BadRequestError, 400, 'invalid_request_error'],
        ['no-permission', Anthropic.PermissionDeniedError, 403, 'permission_error'],
        ['rate-limit', Anthropic.RateLimitError, 429, 'rate_limit_error'],
        ['overloaded', Anthropic.InternalServerError, 529, 'overloaded_error'],
    ];
    for (const [scenario, kind, status, type] of refusals) {
        for (const streamed of [false, true]) {
            await check(`${model}: ${scenario}${streamed ? ', streamed' : ''}`, async () => {
                const error = await failure(create(scenario, { stream: streamed }));
                assert.ok(error instanceof kind, String(error));
                assert.equal(error.status, status);
                assert.equal(error.error.type, 'error');
                assert.equal(error.error.error.type, type);
                assert.match(error.error.error.message, /told by the provider/);
                if (status === 429) {
                    assert.equal(error.headers.get('retry-after'), '7');
                }
            });
        }
    }

    for (const scenario of ['cut', 'error-event']) {
        await check(`${model}: ${scenario} in mid-stream is an error`, async () => {
            let text = '';
            const error = await failure((async () => {
                for await (const event of await create(scenario, { stream: true })) {
                    assert.notEqual(event.type, 'message_stop');
                    if (text === '' && event.delta?.text) {
                        console.log(`release ${model}`);
                    }
                    text += event.delta?.text ?? '';
                }
                return text;
            })());
            assert.ok(error instanceof Anthropic.APIError, String(error));
            assert.ok(text.length > 0 && told.text.startsWith(text), `text: ${text}`);
        });
    }

    await check(`${model}: abort() in mid-stream`, async () => {
        const answer = stream('endless');
        for await (const event of answer) {
            if (event.type === 'content_block_delta') {
                await inFlight(1);
                answer.abort();
                break;
            }
        }
        await inFlight(0);
    });
}

for (const model of process.argv.slice(2)) {
    await checksOf(model);
}

await check('models.list()', async () => {
    const names = [];
    for await (const model of client.models.list()) {
        assert.equal(model.type, 'model');
        names.push(model.id);
    }
    for (const model of process.argv.slice(2)) {
        assert.ok(names.includes(model), model);
    }
    assert.equal((await client.models.retrieve(names[0])).id, names[0]);
});

await check('an unknown model', async () => {
    const error = await failure(client.messages.create(
        { model: 'nobody', max_tokens: 10, messages: ask('text') }));
    assert.ok(error instanceof Anthropic.NotFoundError, String(error));
    assert.equal(error.error.error.type, 'not_found_error');
});

done();
