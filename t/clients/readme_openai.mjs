import OpenAI from 'openai';

const client = new OpenAI({
    baseURL: `http://127.0.0.1:${process.env.PORT ?? 4000}/v1`,
    apiKey: 'not-needed-yet',
});
const stream = await client.chat.completions.create({
    model: 'mock',
    messages: [{ role: 'user', content: 'Are you there?' }],
    stream: true,
});
for await (const chunk of stream) {
    process.stdout.write(chunk.choices[0]?.delta?.content ?? '');
}
