// Legacy completions, for the checkers: how its clients write requests and read answers.
#include "t/check/dialect_check.hpp"
#include "translators/json/writer.hpp"

namespace llm::check {
namespace {

using json::Value;

constexpr json::Limits kLimits = {.allow_lone_surrogates = true};

Said read_request(Value root) {
    Said said;
    add_text(said.user, root["prompt"]);
    for (Value prompt : root["prompt"].items()) {
        add_text(said.user, prompt);
    }
    return said;
}

// There is no conversation: what the user says first is the prompt.
std::string request_of(const Ask &ask, Chance &chance) {
    std::string prompt = ask.system.empty() ? "Once" : ask.system;
    for (const Ask::Turn &turn : ask.turns) {
        if (turn.kind == Ask::Turn::Kind::user && !turn.text.empty()) {
            prompt = turn.text;
            break;
        }
    }
    ByteBuffer out;
    json::Writer w(out);
    w.object().key("model").plain("asked-for").key("prompt");
    if (chance.one_in(3)) {
        w.array().plain(prompt).end();
    } else {
        w.plain(prompt);
    }
    if (ask.max_tokens > 0) {
        w.key("max_tokens").number(ask.max_tokens);
    }
    if (!ask.temperature.empty()) {
        w.key("temperature").raw({ask.temperature});
    }
    if (ask.stream) {
        w.key("stream").boolean(true);
    }
    if (ask.has_unknown_member) {
        w.key("x_vendor").object().key("a").raw({"1.50"}).end();
    }
    w.end();
    return std::string(out.view());
}

// One object, of a stream or whole. False when it has no choices.
bool read_object(Value root, Answer &answer, Problems &problems) {
    std::string id = plain(root["id"].text());
    std::string model = plain(root["model"].text());
    if (!root["object"].equals("text_completion") || id.empty() || !root["created"].as_int() ||
        !root["model"].is_string() || !root["choices"].is_array()) {
        problems.push_back("an object lacks a required member");
    }
    if (!answer.id.empty() && (id != answer.id || model != answer.model)) {
        problems.push_back("the answer changes its id or model");
    }
    answer.id = id;
    answer.model = model;
    for (Value choice : root["choices"].items()) {
        if (!choice["text"].is_string() || !choice["index"].as_int() ||
            choice["logprobs"].absent() || choice["finish_reason"].absent()) {
            problems.push_back("a choice lacks a required member");
        }
        Message &message = answer.choices[uint32_t(choice["index"].as_int().value_or(0))];
        if (!message.finish.empty()) {
            problems.push_back("a choice goes on after its end");
        }
        // Halves of a character may come one after the other: unescaped when all are there.
        message.spoken += choice["text"].text().bytes;
        message.finish = plain(choice["finish_reason"].text());
    }
    return root["choices"].size() > 0;
}

void finish(Answer &answer) {
    for (auto &[index, message] : answer.choices) {
        message.spoken = plain(message.spoken);
        message.text = message.spoken;
    }
}

Answer read_stream(std::string_view bytes, const StreamExpectation &expected, Problems &problems) {
    Answer answer;
    bool has_usage = false;
    for (const Frame &frame : split_frames(bytes, problems)) {
        if (frame.is_comment) {
            continue;
        }
        if (answer.is_complete || answer.has_error) {
            problems.push_back("something follows the end");
        }
        if (frame.data == "[DONE]") {
            answer.is_complete = true;
            continue;
        }
        json::Reader reader;
        auto root = reader.parse_unpadded(frame.data, kLimits);
        if (!root || !root->is_object()) {
            problems.push_back("a frame is no JSON object");
            continue;
        }
        if (Value error = (*root)["error"]; error.is_object()) {
            answer.has_error = true;
            answer.error_class = plain(error["type"].text());
            answer.error_message = plain(error["message"].text());
            continue;
        }
        if (has_usage) {
            problems.push_back("a chunk follows the usage");
        }
        if (!read_object(*root, answer, problems)) {
            has_usage = true;
            answer.usage = chat_usage((*root)["usage"]);
        } else if (expected.usage_chunk != (*root)["usage"].is_null()) {
            problems.push_back("usage is null in every chunk, if it was asked for");
        }
    }
    for (const auto &[index, message] : answer.choices) {
        if (answer.is_complete && message.finish.empty()) {
            problems.push_back("a choice has no end");
        }
    }
    finish(answer);
    return answer;
}

Answer read_body(std::string_view bytes, Problems &problems) {
    Answer answer;
    json::Reader reader;
    auto root = reader.parse_unpadded(bytes, kLimits);
    if (!root || !root->is_object()) {
        problems.push_back("the body is no JSON object");
        return answer;
    }
    answer.is_complete = read_object(*root, answer, problems);
    answer.usage = chat_usage((*root)["usage"]);
    finish(answer);
    return answer;
}

std::string finish_of(const Message &message) {
    const std::string &finish = message.finish;
    if (finish == "length" || finish == "context_length") {
        return "length";
    }
    return finish == "content_filter" || finish == "refusal" ? "content_filter" : "stop";
}

}  // namespace

const DialectCheck kCompletionsCheck = {
    .id = DialectId::completions,
    .read_request = read_request,
    .request_of = request_of,
    .read_stream = read_stream,
    .read_body = read_body,
    .finish_of = finish_of,
    .reads_refusal_as_text = true,
    .carries_signatures = false,
    .is_text_only = true,
};

}  // namespace llm::check
