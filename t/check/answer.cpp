// The rules of translation for answers, stated once more and independently of the encoders: what
// stays equal, and the tables of stop reasons.
#include "t/check/answer.hpp"

#include "translators/core/errors.hpp"
#include "translators/dialect/tool_names.hpp"

namespace llm::check {
namespace {

constexpr std::string_view kFinishNames[] = {
    "stop",    "stop_sequence", "length",    "context_length", "tool_calls", "content_filter",
    "refusal", "pause",         "malformed", "error",          "other",
};

void expect_equal(std::string_view what, std::string_view expected, std::string_view got,
                  Problems &problems) {
    if (expected != got) {
        problems.push_back(std::string(what) + ": " + shown(got) + " instead of " +
                           shown(expected));
    }
}

void expect_equal(std::string_view what, int64_t expected, int64_t got, Problems &problems) {
    if (expected != got) {
        problems.push_back(std::string(what) + ": " + std::to_string(got) + " instead of " +
                           std::to_string(expected));
    }
}

std::string joined(const std::vector<std::string> &parts) {
    std::string all;
    for (const std::string &part : parts) {
        all += part;
    }
    return all;
}

// A messages client reads the input of a call as an object; what is none comes wrapped.
bool is_same_call_input(const std::string &arguments, const std::string &got) {
    if (arguments == got || is_same_json(arguments, got)) {
        return true;
    }
    json::Reader reader;
    auto root = reader.parse_unpadded(got);
    return root && root->size() == 1 && plain(root->find("raw_arguments").text()) == arguments;
}

void compare_calls(const Message &expected, const Message &got, bool as_messages,
                   Problems &problems) {
    expect_equal("number of calls", int64_t(expected.calls.size()), int64_t(got.calls.size()),
                 problems);
    for (size_t i = 0; i < expected.calls.size() && i < got.calls.size(); i++) {
        const Call &from = expected.calls[i];
        const Call &to = got.calls[i];
        std::string name = "call " + std::to_string(i);
        expect_equal(name + " name", from.name, to.name, problems);
        std::string id = from.id;
        if (as_messages) {
            Arena arena;
            id = plain(call_id_for_anthropic(json::escape(from.id, arena), arena));
            if (id != to.id && to.id == from.id) {
                id = from.id;  // reported by the grammar, with the id itself
            }
        }
        expect_equal(name + " id", id, to.id, problems);
        if (!is_same_call_input(from.arguments, to.arguments)) {
            expect_equal(name + " arguments", from.arguments, to.arguments, problems);
        }
    }
}

// Without reasoning: messages clients are not told how much of the output it was.
void compare_usage(const Usage &expected, const Usage &got, bool with_reasoning,
                   Problems &problems) {
    expect_equal("input tokens", expected.input, got.input, problems);
    expect_equal("cache read tokens", expected.cache_read, got.cache_read, problems);
    expect_equal("cache write tokens", expected.cache_write, got.cache_write, problems);
    expect_equal("output tokens", expected.output, got.output, problems);
    if (with_reasoning) {
        expect_equal("reasoning tokens", expected.reasoning, got.reasoning, problems);
    }
}

std::string_view chat_finish(const Message &message) {
    const std::string &finish = message.finish;
    if (finish == "length" || finish == "context_length") {
        return "length";
    }
    if (finish == "content_filter" || finish == "refusal") {
        return "content_filter";
    }
    if (finish == "tool_calls") {
        return "tool_calls";
    }
    return finish == "stop" && !message.calls.empty() ? "tool_calls" : "stop";
}

std::string_view messages_finish(const Message &message) {
    const std::string &finish = message.finish;
    if (finish == "length") {
        return "max_tokens";
    }
    if (finish == "context_length") {
        return "model_context_window_exceeded";
    }
    if (finish == "content_filter" || finish == "refusal") {
        return "refusal";
    }
    if (finish == "pause") {
        return "pause_turn";
    }
    // Without any call (one that never got a name) there is nothing that the client could answer.
    if ((finish == "tool_calls" || finish == "stop") && !message.calls.empty()) {
        return "tool_use";
    }
    if (finish == "stop_sequence" && !message.stop_sequence.empty()) {
        return "stop_sequence";
    }
    return "end_turn";
}

// A broken stream shows a beginning of what came; calls may wait for their turn.
void compare_beginning(const Message &expected, const Message &got, bool as_messages,
                       Problems &problems) {
    const std::string &text = as_messages ? expected.spoken : expected.text;
    const std::string &shown_text = as_messages ? got.spoken : got.text;
    if (!std::string_view(text).starts_with(shown_text)) {
        expect_equal("beginning of the text", text, shown_text, problems);
    }
    if (!std::string_view(expected.reasoning).starts_with(got.reasoning)) {
        expect_equal("beginning of the reasoning", expected.reasoning, got.reasoning, problems);
    }
    if (got.calls.size() > expected.calls.size()) {
        problems.push_back("more calls than the provider made");
    }
}

}  // namespace

const Message &Answer::first() const {
    static const Message none;
    auto found = choices.find(0);
    return found == choices.end() ? none : found->second;
}

std::string_view finish_name(ir::Finish finish) {
    return kFinishNames[static_cast<size_t>(finish)];
}

std::string plain(JsonText text) {
    Arena arena;
    return std::string(json::unescape(text, arena));
}

std::string plain(std::string_view escaped) {
    return plain(JsonText{escaped});
}

std::string arguments_text(std::string arguments) {
    return arguments.find_first_not_of(" \t\r\n") == std::string::npos ? "{}" : arguments;
}

bool is_same_json(json::Value a, json::Value b) {
    if (a.kind() != b.kind()) {
        return false;
    }
    if (a.is_string()) {
        return plain(a.text()) == plain(b.text());
    }
    if (a.is_number()) {
        return a.raw().bytes == b.raw().bytes || a.as_double() == b.as_double();
    }
    if (a.is_array()) {
        if (a.size() != b.size()) {
            return false;
        }
        auto other = b.items().begin();
        for (json::Value item : a.items()) {
            if (!is_same_json(item, *other)) {
                return false;
            }
            ++other;
        }
        return true;
    }
    if (a.is_object()) {
        if (a.size() != b.size()) {
            return false;
        }
        for (auto [key, value] : a.members()) {
            if (!is_same_json(value, b.find(plain(key)))) {
                return false;
            }
        }
        return true;
    }
    return a.raw().bytes == b.raw().bytes;
}

bool is_same_json(std::string_view a, std::string_view b) {
    json::Reader left, right;
    json::Limits limits;
    limits.allow_lone_surrogates = true;
    auto one = left.parse_unpadded(a, limits);
    auto two = right.parse_unpadded(b, limits);
    return one && two && is_same_json(*one, *two);
}

std::string shown(std::string_view text) {
    std::string out = "'";
    for (char c : text.substr(0, 120)) {
        out += static_cast<unsigned char>(c) < 0x20 ? '.' : c;
    }
    return out + (text.size() > 120 ? "...' (" + std::to_string(text.size()) + " bytes)" : "'");
}

Answer answer_of(const ir::Response &response, DialectId origin) {
    Answer answer;
    answer.id = plain(response.id);
    answer.model = plain(response.model);
    answer.usage = response.usage;
    answer.is_complete = true;
    answer.origin = origin;
    for (uint32_t i = 0; i < response.choices.size(); i++) {
        const ir::Choice &choice = response.choices[i];
        Message &message = answer.choices[i];
        message.finish = finish_name(choice.finish);
        message.native = plain(choice.native_finish);
        message.stop_sequence = plain(choice.stop_sequence);
        for (const ir::Part &part : choice.parts) {
            if (auto *text = std::get_if<ir::Text>(&part.is)) {
                message.text += plain(text->text);
                message.spoken += plain(text->text);
            } else if (auto *refusal = std::get_if<ir::Refusal>(&part.is)) {
                message.refusal += plain(refusal->text);
                message.spoken += plain(refusal->text);
            } else if (auto *reasoning = std::get_if<ir::Reasoning>(&part.is)) {
                message.reasoning += plain(reasoning->text);
                if (!reasoning->signature.empty()) {
                    message.signatures.push_back(plain(reasoning->signature));
                }
                if (reasoning->is_redacted) {
                    message.redacted.push_back(plain(reasoning->redacted));
                }
            } else if (auto *call = std::get_if<ir::ToolCall>(&part.is)) {
                message.calls.push_back({plain(call->id), plain(call->name),
                                         arguments_text(std::string(call->arguments))});
            } else if (auto *opaque = std::get_if<ir::Opaque>(&part.is)) {
                message.server_blocks += plain(opaque->type) != "audio" ? 1 : 0;
            } else {
                message.server_blocks++;
            }
        }
    }
    return answer;
}

void compare_same(const Answer &expected, const Answer &got, Problems &problems) {
    expect_equal("id", expected.id, got.id, problems);
    expect_equal("model", expected.model, got.model, problems);
    expect_equal("choices", int64_t(expected.choices.size()), int64_t(got.choices.size()),
                 problems);
    for (const auto &[index, from] : expected.choices) {
        auto found = got.choices.find(index);
        if (found == got.choices.end()) {
            continue;
        }
        const Message &to = found->second;
        expect_equal("text", from.text, to.text, problems);
        expect_equal("refusal", from.refusal, to.refusal, problems);
        expect_equal("reasoning", from.reasoning, to.reasoning, problems);
        expect_equal("finish", from.finish, to.finish, problems);
        expect_equal("native finish", from.native, to.native, problems);
        expect_equal("stop sequence", from.stop_sequence, to.stop_sequence, problems);
        expect_equal("server blocks", int64_t(from.server_blocks), int64_t(to.server_blocks),
                     problems);
        if (from.signatures != to.signatures || from.redacted != to.redacted) {
            problems.push_back("opaque reasoning differs");
        }
        compare_calls(from, to, false, problems);
    }
    expect_equal("complete", expected.is_complete, got.is_complete, problems);
    expect_equal("error", expected.error_class, got.error_class, problems);
    compare_usage(expected.usage, got.usage, true, problems);
}

void compare_with_client(const Answer &provider, const Answer &client, DialectId dialect,
                         Problems &problems) {
    bool as_messages = dialect == DialectId::anthropic;
    if (provider.has_error) {
        if (!client.has_error || client.is_complete) {
            problems.push_back("the client does not learn of the error");
        }
        for (const auto &[index, to] : client.choices) {
            auto from = provider.choices.find(index);
            compare_beginning(from == provider.choices.end() ? Message() : from->second, to,
                              as_messages, problems);
        }
        return;
    }
    if (client.has_error || !client.is_complete) {
        problems.push_back("a complete answer is shown as a broken one: " +
                           shown(client.error_message));
        return;
    }
    for (const auto &[index, from] : provider.choices) {
        if (as_messages && index != 0) {
            continue;
        }
        auto found = client.choices.find(index);
        if (found == client.choices.end()) {
            problems.push_back("choice " + std::to_string(index) + " is lost");
            continue;
        }
        const Message &to = found->second;
        if (as_messages) {
            expect_equal("text", from.spoken, to.spoken, problems);
            if (from.finish != "error") {
                expect_equal("stop_reason", messages_finish(from), to.finish, problems);
            }
        } else {
            expect_equal("text", from.text, to.text, problems);
            expect_equal("refusal", from.refusal, to.refusal, problems);
            if (from.finish != "error") {
                expect_equal("finish_reason", chat_finish(from), to.finish, problems);
            }
        }
        expect_equal("reasoning", from.reasoning, to.reasoning, problems);
        compare_calls(from, to, as_messages, problems);
        // Only the provider's own kind of client can hand them back, and clients of chat for it.
        if (provider.origin == DialectId::anthropic) {
            expect_equal("signatures", joined(from.signatures), joined(to.signatures), problems);
            expect_equal("redacted thinking", joined(from.redacted), joined(to.redacted), problems);
        }
    }
    if (provider.usage.known) {
        compare_usage(provider.usage, client.usage, !as_messages, problems);
    }
}

}  // namespace llm::check
