// The official `@google/genai` SDK as a client: node genai.mjs MODEL... (see sdk.t)

import assert from 'node:assert/strict';
import { ApiError, FunctionCallingConfigMode, GoogleGenAI } from '@google/genai';
import {
    check, checkToldCalls, done, failure, gateway, inFlight, play, told, toolNames, toolSchemas,
    tripSchema,
} from './checks.mjs';

const client = new GoogleGenAI({ apiKey: 'sk-client', httpOptions: { baseUrl: gateway } });
const tools = [{
    functionDeclarations: toolNames.map((name) => ({
        name,
        description: `Calls ${name}`,
        parametersJsonSchema: toolSchemas[name],
    })),
}];

// The calls of a provider of the client's own dialect pass as they are: without ids.
function checkCalls(model, calls) {
    const known = calls.map(({ id, name, args }, n) => ({ id: id ?? `none-${n}`, name, args }));
    checkToldCalls(known);
    assert.equal(calls.every((call) => call.id), model !== 'gemini');
}

const withResults = (content, scenario = 'tools') => [
    { role: 'user', parts: [{ text: play(scenario) }] },
    content,
    {
        role: 'user',
        parts: content.parts.filter((part) => part.functionCall).map(({ functionCall }) => ({
            functionResponse: {
                id: functionCall.id,
                name: functionCall.name,
                response: { output: told.results[functionCall.name] },
            },
        })),
    },
];

function checkUsage(usage) {
    assert.equal(usage.promptTokenCount, 30);
    assert.equal(usage.cachedContentTokenCount, 10);
    assert.equal(usage.candidatesTokenCount, 9);
    assert.equal(usage.totalTokenCount, 39);
}

const partsOf = (answers) => answers.flatMap((answer) =>
    answer.candidates?.[0]?.content?.parts ?? []);
const textOf = (parts, thought) => parts.filter((part) => Boolean(part.thought) === thought)
    .map((part) => part.text ?? '').join('');

async function checksOf(model) {
    const config = { systemInstruction: 'You are brief.' };
    const create = (scenario, more = {}) => client.models.generateContent(
        { model, contents: play(scenario), config: { ...config, ...more } });
    const stream = async (scenario, more = {}) => {
        const answers = [];
        for await (const answer of await client.models.generateContentStream(
            { model, contents: play(scenario), config: { ...config, ...more } })) {
            answers.push(answer);
        }
        return answers;
    };

    await check(`${model}: text`, async () => {
        const answer = await create('text', { maxOutputTokens: 100, temperature: 0.5 });
        assert.equal(answer.text, told.text);
        assert.equal(answer.candidates.length, 1);
        assert.equal(answer.candidates[0].content.role, 'model');
        assert.equal(answer.candidates[0].finishReason, 'STOP');
        assert.ok(answer.responseId);
        assert.ok(answer.modelVersion);
        checkUsage(answer.usageMetadata);
    });

    await check(`${model}: text, streamed`, async () => {
        const answers = await stream('text');
        assert.equal(textOf(partsOf(answers), false), told.text);
        assert.ok(partsOf(answers).length > 3, 'in pieces');
        assert.equal(new Set(answers.map((answer) => answer.responseId)).size, 1);
        assert.deepEqual(answers.map((answer) => answer.candidates[0].finishReason)
            .filter((reason) => reason), ['STOP']);
        assert.equal(answers.at(-1).candidates[0].finishReason, 'STOP');
        checkUsage(answers.at(-1).usageMetadata);
    });

    await check(`${model}: thoughts are shown, and taken back`, async () => {
        const thinkingConfig = { includeThoughts: true, thinkingBudget: 1024 };
        const parts = [
            (await create('thinking', { thinkingConfig })).candidates[0].content.parts,
            partsOf(await stream('thinking', { thinkingConfig })),
        ];
        for (const shown of parts) {
            assert.equal(textOf(shown, true), told.reasoning);
            assert.equal(textOf(shown, false), told.text);
            const next = await client.models.generateContent({
                model,
                config: { ...config, thinkingConfig },
                contents: [
                    { role: 'user', parts: [{ text: play('thinking') }] },
                    { role: 'model', parts: shown },
                    { role: 'user', parts: [{ text: 'And in the evening?' }] },
                ],
            });
            assert.equal(next.candidates[0].finishReason, 'STOP');
        }
    });

    await check(`${model}: two calls, then their results`, async () => {
        const toolConfig = { functionCallingConfig: { mode: FunctionCallingConfigMode.AUTO } };
        const answer = await create('tools', { tools, toolConfig });
        checkCalls(model, answer.functionCalls);
        const { content, finishReason } = answer.candidates[0];
        assert.equal(textOf(content.parts, false), told.before);
        assert.equal(finishReason, 'STOP');
        const second = await client.models.generateContent(
            { model, contents: withResults(content), config: { ...config, tools } });
        assert.equal(second.text, told.after);
        checkUsage(second.usageMetadata);
    });

    await check(`${model}: two calls, then their results, streamed`, async () => {
        const answers = await stream('tools', { tools });
        checkCalls(model, answers.flatMap((answer) => answer.functionCalls ?? []));
        const content = { role: 'model', parts: partsOf(answers) };
        assert.equal(textOf(content.parts, false), told.before);
        const second = [];
        for await (const answer of await client.models.generateContentStream(
            { model, contents: withResults(content), config: { ...config, tools } })) {
            second.push(answer);
        }
        assert.equal(textOf(partsOf(second), false), told.after);
    });

    await check(`${model}: a chat that keeps its own history`, async () => {
        const chat = client.chats.create({ model, config: { ...config, tools } });
        let answer = await chat.sendMessage({ message: play('tools') });
        checkCalls(model, answer.functionCalls);
        answer = await chat.sendMessage({
            message: answer.functionCalls.map(({ id, name }) => ({
                functionResponse: { id, name, response: { output: told.results[name] } },
            })),
        });
        assert.equal(answer.text, told.after);
        assert.deepEqual(chat.getHistory(true).map((content) => content.role),
            ['user', 'model', 'user', 'model']);
    });

    await check(`${model}: thoughts and two calls, then their results`, async () => {
        const more = { tools, thinkingConfig: { includeThoughts: true } };
        for (const answers of [[await create('signed', more)], await stream('signed', more)]) {
            checkCalls(model, answers.flatMap((answer) => answer.functionCalls ?? []));
            const content = { role: 'model', parts: partsOf(answers) };
            assert.equal(textOf(content.parts, true), told.reasoning);
            const second = await client.models.generateContent({ model,
                contents: withResults(content, 'signed'), config: { ...config, ...more } });
            assert.equal(second.text, told.after);
        }
    });

    await check(`${model}: structured output`, async () => {
        const more = { responseMimeType: 'application/json', responseJsonSchema: tripSchema };
        assert.deepEqual(JSON.parse((await create('structured', more)).text), told.trip);
        const parts = partsOf(await stream('structured', more));
        assert.deepEqual(JSON.parse(textOf(parts, false)), told.trip);
    });

    for (const [scenario, status] of [['bad-request', 400], ['no-permission', 403],
        ['rate-limit', 429], ['overloaded', 503]]) {
        await check(`${model}: ${scenario}`, async () => {
            for (const ask of [create, stream]) {
                const error = await failure(ask(scenario));
                assert.ok(error instanceof ApiError, String(error));
                assert.equal(error.status, status);
                assert.match(error.message, /told by the provider/);
            }
        });
    }

    for (const scenario of ['cut', 'error-event']) {
        await check(`${model}: ${scenario} in mid-stream is an error`, async () => {
            let text = '';
            const error = await failure((async () => {
                for await (const answer of await client.models.generateContentStream(
                    { model, contents: play(scenario), config })) {
                    assert.ok(!answer.candidates?.[0]?.finishReason);
                    if (text === '' && answer.text) {
                        console.log(`release ${model}`);
                    }
                    text += answer.text ?? '';
                }
                return text;
            })());
            assert.ok(error instanceof Error, String(error));
            assert.ok(!(error instanceof assert.AssertionError), String(error));
            assert.ok(text.length > 0 && told.text.startsWith(text), `text: ${text}`);
        });
    }

    await check(`${model}: abort() in mid-stream`, async () => {
        const abort = new AbortController();
        const stopped = await failure((async () => {
            for await (const answer of await client.models.generateContentStream({
                model,
                contents: play('endless'),
                config: { ...config, abortSignal: abort.signal },
            })) {
                if (answer.text && !abort.signal.aborted) {
                    await inFlight(1);
                    abort.abort();
                }
            }
        })());
        assert.match(`${stopped.name} ${stopped.message}`, /abort/i);
        await inFlight(0);
    });

    await check(`${model}: models.get()`, async () => {
        assert.equal((await client.models.get({ model })).name, `models/${model}`);
    });
}

for (const model of process.argv.slice(2)) {
    await checksOf(model);
}

await check('models.list()', async () => {
    const names = [];
    for await (const model of await client.models.list()) {
        names.push(model.name);
    }
    for (const model of process.argv.slice(2)) {
        assert.ok(names.includes(`models/${model}`), model);
    }
});

await check('an unknown model', async () => {
    const error = await failure(
        client.models.generateContent({ model: 'nobody', contents: play('text') }));
    assert.ok(error instanceof ApiError, String(error));
    assert.equal(error.status, 404);
});

done();
