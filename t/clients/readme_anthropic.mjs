import Anthropic from '@anthropic-ai/sdk';

const client = new Anthropic({
    baseURL: `http://127.0.0.1:${process.env.PORT ?? 4000}`,
    apiKey: 'not-needed-yet',
});
const stream = client.messages.stream({
    model: 'mock',
    max_tokens: 1000,
    messages: [{ role: 'user', content: 'Are you there?' }],
});
stream.on('text', (text) => process.stdout.write(text));
await stream.finalMessage();
