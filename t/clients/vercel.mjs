// The SDK `ai` with three of its providers as a client: node vercel.mjs MODEL... (see sdk.t)

import assert from 'node:assert/strict';
import { createAnthropic } from '@ai-sdk/anthropic';
import { createGoogleGenerativeAI } from '@ai-sdk/google';
import { createOpenAI } from '@ai-sdk/openai';
import { APICallError, generateText, jsonSchema, Output, stepCountIs, streamText, tool } from 'ai';
import {
    check, checkToldCalls, done, failure, gateway, inFlight, play, told, toolNames, toolSchemas,
    tripSchema,
} from './checks.mjs';

globalThis.AI_SDK_LOG_WARNINGS = false;      // each check looks at the answer's own list

const openai = createOpenAI({ apiKey: 'sk-client', baseURL: `${gateway}/v1` });
const anthropic = createAnthropic({ apiKey: 'sk-client', baseURL: `${gateway}/v1` });
const google = createGoogleGenerativeAI({ apiKey: 'sk-client', baseURL: `${gateway}/v1beta` });
const clients = {
    chat: (model) => openai.chat(model),
    responses: (model) => openai.responses(model),
    anthropic: (model) => anthropic(model),
    google: (model) => google(model),
};
// What is not kept anywhere cannot be referred to: the SDK has to be told so.
const notStored = { openai: { store: false } };
const thinkingOptions = {
    openai: { reasoningSummary: 'auto', forceReasoning: true, store: false,
        include: ['reasoning.encrypted_content'] },
    anthropic: { thinking: { type: 'enabled', budgetTokens: 1024 } },
    google: { thinkingConfig: { includeThoughts: true, thinkingBudget: 1024 } },
};

const tools = Object.fromEntries(toolNames.map((name) => [name, tool({
    description: `Calls ${name}`,
    inputSchema: jsonSchema(toolSchemas[name]),
    execute: () => told.results[name],
})]));

const plain = (calls) => calls.map((call) =>
    ({ id: call.toolCallId, name: call.toolName, args: call.input }));

function checkUsage(usage) {
    assert.equal(usage.inputTokens, 30);
    assert.equal(usage.inputTokenDetails.cacheReadTokens, 10);
    assert.equal(usage.outputTokens, 9);
    assert.equal(usage.totalTokens, 39);
}

// The two turns of a loop that the SDK runs by itself.
function checkSteps(steps) {
    assert.equal(steps.length, 2);
    checkToldCalls(plain(steps[0].toolCalls));
    assert.equal(steps[0].text, told.before);
    assert.equal(steps[0].finishReason, 'tool-calls');
    assert.deepEqual(steps[0].toolResults.map((result) => [result.toolCallId, result.output]),
        steps[0].toolCalls.map((call) => [call.toolCallId, told.results[call.toolName]]));
    assert.equal(steps[1].text, told.after);
    assert.equal(steps[1].finishReason, 'stop');
    for (const step of steps) {
        assert.deepEqual(step.warnings ?? [], []);
    }
}

async function partsOf(result) {
    const parts = [];
    for await (const part of result.fullStream) {
        if (part.type === 'error') {
            throw part.error;
        }
        parts.push(part);
    }
    return parts;
}

// Kinds of parts in order, runs of the same kind as one.
const kindsOf = (parts) => parts.map((part) => part.type)
    .filter((type, n, all) => type !== all[n - 1]);

async function checksOf(kind, name) {
    const system = 'You are brief.';
    const base = {
        model: clients[kind](name),
        system,
        maxRetries: 0,
        maxOutputTokens: 2000,
        providerOptions: notStored,
        onError: () => {},
    };
    const label = `${kind}, ${name}`;

    await check(`${label}: text`, async () => {
        const answer = await generateText({ ...base, prompt: play('text'), temperature: 0.5 });
        assert.equal(answer.text, told.text);
        assert.equal(answer.finishReason, 'stop');
        assert.deepEqual(answer.warnings ?? [], []);
        assert.ok(answer.response.id);
        checkUsage(answer.usage);
    });

    await check(`${label}: text, streamed`, async () => {
        const result = streamText({ ...base, prompt: play('text') });
        const parts = await partsOf(result);
        assert.deepEqual(kindsOf(parts),
            ['start', 'start-step', 'text-start', 'text-delta', 'text-end', 'finish-step',
                'finish']);
        const deltas = parts.filter((part) => part.type === 'text-delta');
        assert.ok(deltas.length > 3, 'in pieces');
        assert.equal(deltas.map((part) => part.text).join(''), told.text);
        assert.equal(await result.finishReason, 'stop');
        assert.deepEqual(await result.warnings ?? [], []);
        checkUsage(await result.usage);
    });

    await check(`${label}: two calls, then their results`, async () => {
        const answer = await generateText(
            { ...base, prompt: play('tools'), tools, stopWhen: stepCountIs(3) });
        checkSteps(answer.steps);
    });

    await check(`${label}: two calls, then their results, streamed`, async () => {
        const result = streamText(
            { ...base, prompt: play('tools'), tools, stopWhen: stepCountIs(3) });
        const parts = await partsOf(result);
        checkSteps(await result.steps);
        const calls = parts.filter((part) => part.type === 'tool-call');
        for (const call of calls) {
            const of = parts.filter((part) => part.id === call.toolCallId
                || part.toolCallId === call.toolCallId);
            assert.deepEqual(kindsOf(of), ['tool-input-start', 'tool-input-delta',
                'tool-input-end', 'tool-call', 'tool-result']);
            assert.deepEqual(JSON.parse(of.filter((part) => part.type === 'tool-input-delta')
                .map((part) => part.delta).join('')), call.input);
        }
    });

    if (kind === 'responses') {
        await check(`${label}: a reference to what nobody keeps is refused`, async () => {
            const error = await failure(generateText({ ...base, providerOptions: {},
                prompt: play('tools'), tools, stopWhen: stepCountIs(3) }));
            assert.ok(APICallError.isInstance(error), String(error));
            assert.equal(error.statusCode, 400);
            assert.equal(error.data.error.param, 'item_reference');
        });
    }

    if (kind !== 'chat') {                   // which has no reasoning in this SDK
        await check(`${label}: reasoning is shown, and taken back`, async () => {
            const more = { ...base, providerOptions: thinkingOptions };
            const asked = [{ role: 'user', content: play('thinking') }];
            const whole = await generateText({ ...more, messages: asked });
            const streamed = streamText({ ...more, messages: asked });
            await partsOf(streamed);
            for (const answer of [whole, streamed]) {
                assert.equal(await answer.reasoningText, told.reasoning);
                assert.equal(await answer.text, told.text);
                const { messages } = await answer.response;
                const next = await generateText({ ...more, messages: [
                    ...asked, ...messages, { role: 'user', content: 'And in the evening?' },
                ] });
                assert.equal(next.finishReason, 'stop');
                // Reasoning that its provider did not sign is not sent back; the SDK says so.
                const unsigned = ['gpt-chat', 'gemini'].includes(name) && kind !== 'google';
                assert.ok((next.warnings ?? []).length === 0 || unsigned);
            }
        });
    }

    if (kind !== 'chat') {
        await check(`${label}: reasoning and two calls, then their results`, async () => {
            const more = { ...base, providerOptions: thinkingOptions, tools,
                prompt: play('signed'), stopWhen: stepCountIs(3) };
            const answers = [await generateText(more), streamText(more)];
            await partsOf(answers[1]);
            for (const answer of answers) {
                const [first, second] = await answer.steps;
                checkToldCalls(plain(first.toolCalls));
                assert.equal(first.reasoningText, told.reasoning);
                assert.equal(second.text, told.after);
            }
        });
    }

    await check(`${label}: structured output`, async () => {
        const output = Output.object({ schema: jsonSchema(tripSchema), name: 'trip' });
        const answer = await generateText({ ...base, prompt: play('structured'), output });
        assert.deepEqual(answer.output, told.trip);
        assert.deepEqual(answer.warnings ?? [], []);
        const streamed = streamText({ ...base, prompt: play('structured'), output });
        assert.deepEqual(await streamed.output, told.trip);
    });

    const overloaded = kind === 'anthropic' ? 529 : 503;
    for (const [scenario, status] of [['bad-request', 400], ['no-permission', 403],
        ['rate-limit', 429], ['overloaded', overloaded]]) {
        await check(`${label}: ${scenario}`, async () => {
            for (const ask of [
                () => generateText({ ...base, prompt: play(scenario) }),
                () => partsOf(streamText({ ...base, prompt: play(scenario) })),
            ]) {
                const error = await failure(ask());
                assert.ok(APICallError.isInstance(error), String(error));
                assert.equal(error.statusCode, status);
                assert.match(error.message, /told by the provider/);
                assert.equal(error.isRetryable, status === 429 || status >= 500);
            }
        });
    }

    for (const scenario of ['cut', 'error-event']) {
        await check(`${label}: ${scenario} in mid-stream is an error`, async () => {
            let text = '';
            const errors = [];
            const ends = [];
            const result = streamText({ ...base, prompt: play(scenario) });
            for await (const part of result.fullStream) {
                if (part.type === 'text-delta') {
                    if (text === '') {
                        console.log(`release ${name}`);
                    }
                    text += part.text;
                } else if (part.type === 'error') {
                    errors.push(part.error);
                } else if (part.type === 'finish') {
                    ends.push(part.finishReason);
                }
            }
            assert.equal(errors.length > 0, true, `no error, but ${ends}`);
            assert.ok(ends.every((reason) => reason === 'error' || reason === 'other'), `${ends}`);
            assert.ok(text.length > 0 && told.text.startsWith(text), `text: ${text}`);
        });
    }

    await check(`${label}: abort() in mid-stream`, async () => {
        const abort = new AbortController();
        const result = streamText(
            { ...base, prompt: play('endless'), abortSignal: abort.signal });
        for await (const part of result.fullStream) {
            if (part.type === 'text-delta' && !abort.signal.aborted) {
                await inFlight(1);
                abort.abort();
            }
        }
        await inFlight(0);
    });
}

for (const model of process.argv.slice(2)) {
    for (const kind of Object.keys(clients)) {
        await checksOf(kind, model);
    }
}

done();
