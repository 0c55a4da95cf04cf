// LangChain's `@langchain/openai` as a client: node langchain.mjs MODEL... (see sdk.t)

import assert from 'node:assert/strict';
import { HumanMessage, SystemMessage, ToolMessage } from '@langchain/core/messages';
import { ChatOpenAI } from '@langchain/openai';
import {
    check, checkToldCalls, done, failure, gateway, inFlight, play, told, toolNames, toolSchemas,
    tripSchema,
} from './checks.mjs';

const tools = toolNames.map((name) => ({
    type: 'function',
    function: { name, description: `Calls ${name}`, parameters: toolSchemas[name] },
}));
const ask = (scenario) => [new SystemMessage('You are brief.'), new HumanMessage(play(scenario))];

function checkUsage(message) {
    assert.equal(message.usage_metadata.input_tokens, 30);
    assert.equal(message.usage_metadata.input_token_details.cache_read, 10);
    assert.equal(message.usage_metadata.output_tokens, 9);
    assert.equal(message.usage_metadata.total_tokens, 39);
}

function checkCalls(message) {
    checkToldCalls(message.tool_calls);
    assert.equal(message.text, told.before);
    assert.deepEqual(message.invalid_tool_calls ?? [], []);
}

const withResults = (message) => [
    ...ask('tools'),
    message,
    ...message.tool_calls.map((call) =>
        new ToolMessage({ tool_call_id: call.id, name: call.name,
            content: told.results[call.name] })),
];

// A stream put together as LangChain does it, and the number of its pieces.
async function gathered(stream) {
    let whole;
    let pieces = 0;
    for await (const chunk of stream) {
        whole = whole === undefined ? chunk : whole.concat(chunk);
        pieces += 1;
    }
    return { whole, pieces };
}

async function checksOf(model, useResponsesApi) {
    const label = `${model}${useResponsesApi ? ', Responses' : ''}`;
    const llm = new ChatOpenAI({
        model,
        useResponsesApi,
        apiKey: 'sk-client',
        maxRetries: 0,
        temperature: 0.5,
        maxTokens: 2000,
        streamUsage: true,
        configuration: { baseURL: `${gateway}/v1` },
    });
    const withTools = llm.bindTools(tools);

    await check(`${label}: text`, async () => {
        const message = await llm.invoke(ask('text'));
        assert.equal(message.text, told.text);
        assert.ok(message.id);
        if (!useResponsesApi) {
            assert.equal(message.response_metadata.finish_reason, 'stop');
        }
        checkUsage(message);
    });

    await check(`${label}: text, streamed`, async () => {
        const { whole, pieces } = await gathered(await llm.stream(ask('text')));
        assert.equal(whole.text, told.text);
        assert.ok(pieces > 3, 'in pieces');
        checkUsage(whole);
    });

    await check(`${label}: two calls, then their results`, async () => {
        const message = await withTools.invoke(ask('tools'));
        checkCalls(message);
        const second = await withTools.invoke(withResults(message));
        assert.equal(second.text, told.after);
    });

    await check(`${label}: two calls, then their results, streamed`, async () => {
        const { whole } = await gathered(await withTools.stream(ask('tools')));
        checkCalls(whole);
        const second = await gathered(await withTools.stream(withResults(whole)));
        assert.equal(second.whole.text, told.after);
    });

    await check(`${label}: structured output`, async () => {
        const structured = llm.withStructuredOutput(tripSchema,
            { name: 'trip', method: 'jsonSchema', strict: true });
        assert.deepEqual(await structured.invoke(ask('structured')), told.trip);
    });

    for (const [scenario, status] of [['bad-request', 400], ['no-permission', 403],
        ['rate-limit', 429], ['overloaded', 503]]) {
        await check(`${label}: ${scenario}`, async () => {
            for (const call of [() => llm.invoke(ask(scenario)),
                async () => gathered(await llm.stream(ask(scenario)))]) {
                const error = await failure(call());
                assert.equal(error.status, status, String(error));
                assert.match(error.message, /told by the provider/);
            }
        });
    }

    if (!useResponsesApi) {                  // there LangChain passes over the error's events
        for (const scenario of ['cut', 'error-event']) {
            await check(`${label}: ${scenario} in mid-stream is an error`, async () => {
                let text = '';
                const error = await failure((async () => {
                    for await (const chunk of await llm.stream(ask(scenario))) {
                        if (text === '' && chunk.text) {
                            console.log(`release ${model}`);
                        }
                        text += chunk.text;
                    }
                    return text;
                })());
                assert.ok(error instanceof Error, String(error));
                assert.ok(text.length > 0 && told.text.startsWith(text), `text: ${text}`);
            });
        }
    }

    await check(`${label}: abort() in mid-stream`, async () => {
        const abort = new AbortController();
        const stopped = await failure((async () => {
            for await (const chunk of await llm.stream(ask('endless'),
                { signal: abort.signal })) {
                if (chunk.text && !abort.signal.aborted) {
                    await inFlight(1);
                    abort.abort();
                }
            }
        })());
        assert.match(`${stopped.name} ${stopped.message}`, /abort/i);
        await inFlight(0);
    });
}

for (const model of process.argv.slice(2)) {
    await checksOf(model, false);
    await checksOf(model, true);
}

done();
