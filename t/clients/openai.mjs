// The official `openai` SDK as a client: node openai.mjs MODEL... (see sdk.t)

import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { check, done, failure, gateway, inFlight, play, told, tripSchema } from './checks.mjs';

const client = new OpenAI({ apiKey: 'sk-client', baseURL: `${gateway}/v1`, maxRetries: 0 });
const ask = (scenario) => [
    { role: 'system', content: 'You are brief.' },
    { role: 'user', content: play(scenario) },
];
const tools = ['get_weather', 'get_time'].map((name) => ({
    type: 'function',
    function: {
        name,
        description: `Calls ${name}`,
        parameters: { type: 'object', properties: { city: { type: 'string' } } },
    },
}));

function checkCalls(message) {
    assert.deepEqual(
        message.tool_calls.map((call) => [call.type, call.function.name,
            JSON.parse(call.function.arguments)]),
        [['function', 'get_weather', told.weather], ['function', 'get_time', told.time]]);
    assert.notEqual(message.tool_calls[0].id, message.tool_calls[1].id);
}

// The results go back with the SDK's own form of the assistant's message.
const withResults = (message, scenario = 'tools') => [
    ...ask(scenario),
    message,
    { role: 'tool', tool_call_id: message.tool_calls[0].id, content: '4 degrees' },
    { role: 'tool', tool_call_id: message.tool_calls[1].id, content: '12:30' },
];

async function checksOf(model) {
    const create = (scenario, more = {}) =>
        client.chat.completions.create({ model, messages: ask(scenario), ...more });

    await check(`${model}: text`, async () => {
        const answer = await create('text', { max_completion_tokens: 100, temperature: 0.5 });
        const [choice] = answer.choices;
        assert.equal(choice.message.content, told.text);
        assert.equal(choice.message.role, 'assistant');
        assert.equal(choice.finish_reason, 'stop');
        assert.equal(answer.object, 'chat.completion');
        assert.equal(answer.usage.prompt_tokens, 30);
        assert.equal(answer.usage.prompt_tokens_details.cached_tokens, 10);
        assert.equal(answer.usage.completion_tokens, 9);
        assert.equal(answer.usage.total_tokens, 39);
    });

    await check(`${model}: text, streamed`, async () => {
        const stream = await create('text',
            { stream: true, stream_options: { include_usage: true } });
        const chunks = [];
        for await (const chunk of stream) {
            chunks.push(chunk);
        }
        const deltas = chunks.flatMap((chunk) => chunk.choices.map((choice) => choice.delta));
        assert.equal(deltas[0].role, 'assistant');
        assert.equal(deltas.map((delta) => delta.content ?? '').join(''), told.text);
        assert.equal(new Set(chunks.map((chunk) => chunk.id)).size, 1);
        assert.equal(chunks.at(-1).usage.prompt_tokens, 30);
        assert.equal(chunks.at(-1).usage.prompt_tokens_details.cached_tokens, 10);
        assert.equal(chunks.at(-1).usage.completion_tokens, 9);
    });

    await check(`${model}: no usage in a stream that was not asked for it`, async () => {
        for await (const chunk of await create('text', { stream: true })) {
            assert.equal(chunk.choices.length, 1);
            assert.equal(chunk.usage ?? null, null);
        }
    });

    await check(`${model}: reasoning`, async () => {
        const answer = await create('thinking');
        assert.equal(answer.choices[0].message.reasoning_content, told.reasoning);
        assert.equal(answer.choices[0].message.content, told.text);
        let reasoning = '';
        for await (const chunk of await create('thinking', { stream: true })) {
            reasoning += chunk.choices[0]?.delta.reasoning_content ?? '';
        }
        assert.equal(reasoning, told.reasoning);
    });

    await check(`${model}: two calls, then their results`, async () => {
        const answer = await create('tools', { tools, tool_choice: 'auto' });
        assert.equal(answer.choices[0].finish_reason, 'tool_calls');
        checkCalls(answer.choices[0].message);
        const messages = withResults(answer.choices[0].message);
        const second = await client.chat.completions.create({ model, messages, tools });
        assert.equal(second.choices[0].message.content, told.after);
        assert.equal(second.choices[0].finish_reason, 'stop');
    });

    await check(`${model}: signed calls, then their results`, async () => {
        if (model === 'claude-older') {
            return;                          // does not think
        }
        const body = { model, messages: ask('signed'), tools };
        const streamed = client.chat.completions.stream(body);
        // Of members that it does not know, the SDK's helper keeps the last piece.
        for (const answer of [await create('signed', { tools }),
            await streamed.finalChatCompletion()]) {
            checkCalls(answer.choices[0].message);
            const messages = withResults(answer.choices[0].message, 'signed');
            const second = await client.chat.completions.create(
                { model, messages, tools, reasoning_effort: 'low' });
            assert.equal(second.choices[0].message.content, told.after);
        }
    });

    await check(`${model}: two calls, then their results, streamed`, async () => {
        const stream = client.chat.completions.stream({ model, messages: ask('tools'), tools });
        const answer = await stream.finalChatCompletion();
        assert.equal(answer.choices[0].finish_reason, 'tool_calls');
        checkCalls(answer.choices[0].message);
        const messages = withResults(answer.choices[0].message);
        const second = client.chat.completions.stream({ model, messages, tools });
        assert.equal(await second.finalContent(), told.after);
    });

    await check(`${model}: the SDK's own loop of tool calls`, async () => {
        const asked = [];
        const runnable = tools.map((tool) => ({
            type: 'function',
            function: {
                ...tool.function,
                parse: JSON.parse,
                function: (args) => {
                    asked.push([tool.function.name, args]);
                    return tool.function.name === 'get_time' ? '12:30' : '4 degrees';
                },
            },
        }));
        const runner = client.chat.completions.runTools(
            { model, messages: ask('tools'), tools: runnable, stream: true });
        assert.equal(await runner.finalContent(), told.after);
        assert.deepEqual(asked, [['get_weather', told.weather], ['get_time', told.time]]);
    });

    await check(`${model}: structured output`, async () => {
        const format = {
            type: 'json_schema',
            json_schema: { name: 'trip', strict: true, schema: tripSchema },
        };
        const answer = await create('structured', { response_format: format });
        assert.deepEqual(JSON.parse(answer.choices[0].message.content), told.trip);
        assert.equal(answer.choices[0].finish_reason, 'stop');
        let text = '';
        let pieces = 0;
        const more = { response_format: format, stream: true };
        for await (const chunk of await create('structured', more)) {
            text += chunk.choices[0]?.delta.content ?? '';
            pieces += chunk.choices[0]?.delta.content ? 1 : 0;
        }
        assert.deepEqual(JSON.parse(text), told.trip);
        assert.ok(pieces > 1, 'in pieces');
    });

    const refusals = [
        ['bad-request', OpenAI.BadRequestError, 400],
        ['no-permission', OpenAI.PermissionDeniedError, 403],
        ['rate-limit', OpenAI.RateLimitError, 429],
        ['overloaded', OpenAI.InternalServerError, 503],
    ];
    for (const [scenario, kind, status] of refusals) {
        for (const stream of [false, true]) {
            await check(`${model}: ${scenario}${stream ? ', streamed' : ''}`, async () => {
                const error = await failure(create(scenario, { stream }));
                assert.ok(error instanceof kind, String(error));
                assert.equal(error.status, status);
                assert.match(error.message, /told by the provider/);
                assert.equal(typeof error.type, 'string');
                if (status === 429) {
                    assert.equal(error.headers.get('retry-after'), '7');
                }
            });
        }
    }

    for (const scenario of ['cut', 'error-event']) {
        await check(`${model}: ${scenario} in mid-stream is an error`, async () => {
            const stream = await create(scenario, { stream: true });
            let text = '';
            const error = await failure((async () => {
                for await (const chunk of stream) {
                    if (text === '' && chunk.choices[0]?.delta.content) {
                        console.log(`release ${model}`);
                    }
                    text += chunk.choices[0]?.delta.content ?? '';
                }
                return text;
            })());
            assert.ok(error instanceof OpenAI.APIError, String(error));
            assert.ok(text.length > 0 && told.text.startsWith(text), `text: ${text}`);
        });
    }

    await check(`${model}: abort() in mid-stream`, async () => {
        const stream = await create('endless', { stream: true });
        for await (const chunk of stream) {
            if (chunk.choices[0]?.delta.content) {
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

await check('models.list()', async () => {
    const names = [];
    for await (const model of client.models.list()) {
        assert.equal(model.object, 'model');
        names.push(model.id);
    }
    for (const model of process.argv.slice(2)) {
        assert.ok(names.includes(model), model);
    }
    assert.equal((await client.models.retrieve(names[0])).id, names[0]);
});

await check('an unknown model', async () => {
    const error = await failure(
        client.chat.completions.create({ model: 'nobody', messages: ask('text') }));
    assert.ok(error instanceof OpenAI.NotFoundError, String(error));
    assert.equal(error.status, 404);
    assert.equal(error.code, 'model_not_found');
});

done();
