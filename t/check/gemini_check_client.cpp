// Gemini as a client, for the checkers: how its clients write requests, and how a strict one reads
// streams (server-sent events or one array) and bodies.
#include <map>

#include "t/check/gemini_check.hpp"
#include "translators/core/base64.hpp"
#include "translators/json/writer.hpp"

namespace llm::check::gemini {
namespace {

using json::Value;

constexpr json::Limits kLimits = {.allow_lone_surrogates = true};

// --- requests -----------------------------------------------------------------------------------

class RequestWriter {
  public:
    RequestWriter(const Ask &ask, Chance &chance)
        : ask_(ask), chance_(chance), is_snake_(chance.one_in(4)), w_(out_) {}

    std::string write() {
        w_.object();
        if (!ask_.system.empty()) {
            w_.key(is_snake_ ? "system_instruction" : "systemInstruction").object();
            w_.key("parts").array().object().key("text").plain(ask_.system).end().end().end();
        }
        w_.key("contents").array();
        for (const Ask::Turn &turn : ask_.turns) {
            content(turn);
        }
        w_.end();
        tools();
        w_.key(is_snake_ ? "generation_config" : "generationConfig").object();
        if (ask_.max_tokens > 0) {
            w_.key(is_snake_ ? "max_output_tokens" : "maxOutputTokens").number(ask_.max_tokens);
        }
        if (!ask_.temperature.empty()) {
            w_.key("temperature").raw({ask_.temperature});
        }
        if (ask_.thinking) {
            w_.key(is_snake_ ? "thinking_config" : "thinkingConfig").object();
            w_.key(is_snake_ ? "include_thoughts" : "includeThoughts").boolean(true);
            w_.key(is_snake_ ? "thinking_budget" : "thinkingBudget").number(2048).end();
        }
        w_.end();
        if (ask_.has_unknown_member) {
            w_.key("xVendor").object().key("a").raw({"1.50"}).end();
        }
        w_.end();
        return std::string(out_.view());
    }

  private:
    void tools() {
        w_.key("tools").array().object();
        w_.key(is_snake_ ? "function_declarations" : "functionDeclarations").array();
        for (const std::string &name : ask_.tools) {
            w_.object().key("name").plain(name);
            if (chance_.one_in(2)) {
                w_.key("parameters").object().key("type").plain("OBJECT");
                w_.key("properties").object().key("type").object();
                w_.key("type").plain("STRING").key("nullable").boolean(true).end().end().end();
            }
            w_.end();
        }
        w_.end().end().end();
    }

    void content(const Ask::Turn &turn) {
        w_.object().key("role");
        w_.plain(turn.kind == Ask::Turn::Kind::assistant ? "model" : "user");
        w_.key("parts").array();
        for (const Ask::Result &result : turn.results) {
            w_.object().key(is_snake_ ? "function_response" : "functionResponse").object();
            w_.key("id").plain(result.id).key("name").plain(result.name);
            w_.key("response").object().key(chance_.one_in(2) ? "result" : "output");
            w_.plain(result.text).end().end().end();
        }
        if (!turn.text.empty() || (turn.calls.empty() && turn.results.empty())) {
            w_.object().key("text").plain(turn.text).end();
        }
        if (!turn.image.empty()) {
            w_.object().key(is_snake_ ? "file_data" : "fileData").object();
            w_.key(is_snake_ ? "mime_type" : "mimeType").plain("image/png");
            w_.key(is_snake_ ? "file_uri" : "fileUri").plain(turn.image).end().end();
        }
        for (const Ask::Call &call : turn.calls) {
            w_.object().key(is_snake_ ? "function_call" : "functionCall").object();
            w_.key("id").plain(call.id).key("name").plain(call.name).key("args");
            bool is_object = call.arguments.starts_with("{") && call.arguments != "{\"cut";
            w_.raw({is_object ? std::string_view(call.arguments) : std::string_view("{}")});
            w_.end().end();
        }
        w_.end().end();
    }

    const Ask &ask_;
    Chance &chance_;
    bool is_snake_;
    ByteBuffer out_;
    json::Writer w_;
};

// --- answers ------------------------------------------------------------------------------------

class AnswerReader {
  public:
    explicit AnswerReader(Problems &problems) : problems_(problems) {}

    // A chunk of a stream, or a body.
    void chunk(Value root) {
        if (is_over_) {
            problems_.push_back("something behind the last chunk: " + shown(root.raw().bytes));
            return;
        }
        if (!root.is_object() || !json::duplicate_key(root).empty()) {
            problems_.push_back("no object, or a member stands twice: " + shown(root.raw().bytes));
            return;
        }
        if (!root["error"].absent()) {
            error(root["error"]);
            return;
        }
        std::string identity(root["modelVersion"].raw().bytes);
        identity.append(root["responseId"].raw().bytes);
        if (identity_.empty()) {
            identity_ = identity;
            answer_.id = plain(root["responseId"].text());
            answer_.model = plain(root["modelVersion"].text());
        }
        if (identity != identity_ || answer_.id.empty() || !root["modelVersion"].is_string()) {
            problems_.push_back("modelVersion or responseId is missing or changes");
        }
        if (root["candidates"].size() == 0) {
            problems_.push_back("a chunk without candidates");
        }
        bool is_last = false;
        for (Value one : root["candidates"].items()) {
            is_last = candidate(one) || is_last;
        }
        if (root["usageMetadata"].is_object() && is_last) {
            usage(root["usageMetadata"]);
        }
    }

    Answer finish() {
        bool is_whole = !answer_.has_error && !answer_.choices.empty();
        for (const auto &[index, is_finished] : finished_) {
            is_whole = is_whole && is_finished;
        }
        if (!is_whole && !answer_.has_error) {
            problems_.push_back("a candidate without finishReason");
        }
        answer_.is_complete = is_whole;
        for (auto &[index, message] : answer_.choices) {
            message.reasoning = plain(message.reasoning);
            message.text = plain(message.text);
            message.spoken = message.text;
        }
        return answer_;
    }

  private:
    void error(Value error) {
        is_over_ = true;
        answer_.has_error = true;
        answer_.error_class = plain(error["status"].text());
        answer_.error_message = plain(error["message"].text());
        if (error["code"].as_int().value_or(0) < 400 || answer_.error_class.empty() ||
            !error["message"].is_string()) {
            problems_.push_back("an error without code, status or message");
        }
    }

    bool candidate(Value value) {
        uint32_t index = uint32_t(value["index"].as_int().value_or(999));
        if (index == 999 || !value["content"]["role"].equals("model") ||
            !value["content"]["parts"].is_array()) {
            problems_.push_back("a candidate without index, role or parts");
        }
        if (finished_[index]) {
            problems_.push_back("a chunk behind the finishReason of its candidate");
        }
        Message &message = answer_.choices[index];
        for (Value one : value["content"]["parts"].items()) {
            part(one, message);
        }
        if (value["finishReason"].is_string()) {
            finished_[index] = true;
            message.finish = plain(value["finishReason"].text());
        }
        return finished_[index];
    }

    void part(Value value, Message &message) {
        size_t data = 0;
        for (auto [key, held] : value.members()) {
            data += key.bytes != "thought" && key.bytes != "thoughtSignature" ? 1 : 0;
        }
        if (data != 1) {
            problems_.push_back("a part must hold one thing: " + shown(value.raw().bytes));
        }
        if (value["text"].is_string()) {
            std::string text(value["text"].text().bytes);  // escaped, until all of it came
            if (value["thought"].is_true()) {
                message.reasoning += text;
            } else {
                message.text += text;
            }
        } else if (value["functionCall"].is_object()) {
            call(value["functionCall"], message);
        } else {
            message.server_blocks++;
            return;  // whole, its signature included
        }
        if (!value["thoughtSignature"].absent()) {
            signature(plain(value["thoughtSignature"].text()), message);
        }
    }

    void call(Value value, Message &message) {
        Call call{plain(value["id"].text()), plain(value["name"].text()),
                  std::string(value["args"].raw().bytes)};
        if (call.id.empty() || call.name.empty() || !value["args"].is_object()) {
            problems_.push_back("a call without id, name or an object as its arguments");
        }
        for (const Call &other : message.calls) {
            if (other.id == call.id) {
                problems_.push_back("two calls of one id: " + shown(call.id));
            }
        }
        message.calls.push_back(call);
    }

    // Another maker's is Base64 of the tagged original; redacted blocks are marked.
    void signature(std::string sent, Message &message) {
        if (sent.empty()) {
            problems_.push_back("an empty thoughtSignature");
        }
        Arena arena;
        std::optional<std::string_view> decoded = decode_strict_base64(sent, arena);
        if (!decoded || !decoded->starts_with("gw1.")) {
            message.signatures.push_back(sent);
            return;
        }
        std::string tagged(*decoded);
        size_t mark = tagged.find('.', 4) + 1;
        if (tagged.compare(mark, 9, "redacted:") == 0) {
            message.redacted.push_back(tagged.erase(mark, 9));
        } else {
            message.signatures.push_back(tagged);
        }
    }

    void usage(Value value) {
        auto count = [&value](std::string_view name) { return value[name].as_int().value_or(0); };
        Usage &usage = answer_.usage;
        usage.known = true;
        usage.input = count("promptTokenCount");
        usage.cache_read = count("cachedContentTokenCount");
        usage.reasoning = count("thoughtsTokenCount");
        usage.output = count("candidatesTokenCount") + usage.reasoning;
        if (count("totalTokenCount") != usage.input + usage.output ||
            usage.cache_read > usage.input || count("candidatesTokenCount") < 0) {
            problems_.push_back("token counts that do not add up: " + shown(value.raw().bytes));
        }
    }

    Problems &problems_;
    Answer answer_;
    std::map<uint32_t, bool> finished_;
    std::string identity_;
    bool is_over_ = false;
};

void read_frames(std::string_view bytes, AnswerReader &answer, Problems &problems) {
    constexpr std::string_view kEnd = "\r\n\r\n";
    json::Reader reader;
    while (!bytes.empty()) {
        size_t end = bytes.find(kEnd);
        std::string_view frame = bytes.substr(0, end);
        if (end == std::string_view::npos) {
            problems.push_back("half a frame at the end: " + shown(bytes));
            return;
        }
        bytes.remove_prefix(end + kEnd.size());
        if (frame.starts_with(":")) {
            continue;
        }
        if (!frame.starts_with("data: ") || frame.find_first_of("\r\n") != frame.npos) {
            problems.push_back("a frame that is not one data line: " + shown(frame));
            continue;
        }
        if (auto root = reader.parse_unpadded(frame.substr(6), kLimits)) {
            answer.chunk(*root);
        } else {
            problems.push_back("a chunk that is no JSON: " + shown(frame));
        }
    }
}

}  // namespace

std::string request_of(const Ask &ask, Chance &chance) {
    return RequestWriter(ask, chance).write();
}

Answer read_stream(std::string_view bytes, const StreamExpectation &, Problems &problems) {
    AnswerReader answer(problems);
    size_t first = bytes.find_first_not_of(" \r\n");
    if (first == std::string_view::npos || bytes[first] != '[') {
        read_frames(bytes, answer, problems);
        return answer.finish();
    }
    json::Reader reader;
    if (auto root = reader.parse_unpadded(bytes, kLimits); root && root->is_array()) {
        for (Value element : root->items()) {
            answer.chunk(element);
        }
    } else {
        problems.push_back("the stream is no JSON array");
    }
    return answer.finish();
}

Answer read_body(std::string_view bytes, Problems &problems) {
    AnswerReader answer(problems);
    json::Reader reader;
    if (auto root = reader.parse_unpadded(bytes, kLimits)) {
        answer.chunk(*root);
    } else {
        problems.push_back("the body is no JSON");
    }
    return answer.finish();
}

std::string finish_of(const Message &message) {
    const std::string &finish = message.finish;
    if (finish == "length" || finish == "context_length") {
        return "MAX_TOKENS";
    }
    if (finish == "content_filter") {
        return "SAFETY";
    }
    if (finish == "refusal") {
        return "PROHIBITED_CONTENT";
    }
    if (finish == "malformed") {
        return "MALFORMED_FUNCTION_CALL";
    }
    return finish == "other" || finish == "error" ? "OTHER" : "STOP";
}

}  // namespace llm::check::gemini
