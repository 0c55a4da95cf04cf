// The rules of translation for answers, stated once more and independently of the encoders: what
// stays equal, and the tables of stop reasons.
#include "t/check/answer.hpp"

#include "t/check/dialect_check.hpp"
#include "translators/core/errors.hpp"
#include "translators/dialect/opaque_tag.hpp"

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

// A foreign client gets opaque parts with the tag of their maker.
std::vector<std::string> untagged(std::vector<std::string> parts, DialectId origin) {
    for (std::string &part : parts) {
        if (part.starts_with(opaque_tag(origin))) {
            part.erase(0, opaque_tag(origin).size());
        }
    }
    return parts;
}

// A client may read the input of a call as an object; what is none comes wrapped.
bool is_same_call_input(const std::string &arguments, const std::string &got) {
    bool is_nothing = is_same_json(arguments, "null") && got == "{}";
    if (arguments == got || is_nothing || is_same_json(arguments, got)) {
        return true;
    }
    json::Reader reader;
    auto root = reader.parse_unpadded(got);
    return root && root->size() == 1 &&
           (plain(root->find("raw_arguments").text()) == arguments ||
            plain(root->find("input").text()) == arguments);  // a free text tool's
}

// `client`: who reads them; null: both sides are equals.
void compare_calls(const Message &expected, const Message &got, const DialectCheck *client,
                   Problems &problems) {
    expect_equal("number of calls", int64_t(expected.calls.size()), int64_t(got.calls.size()),
                 problems);
    for (size_t i = 0; i < expected.calls.size() && i < got.calls.size(); i++) {
        const Call &from = expected.calls[i];
        const Call &to = got.calls[i];
        std::string name = "call " + std::to_string(i);
        expect_equal(name + " name", from.name, to.name, problems);
        std::string id = from.id;
        if (client != nullptr && client->call_id_of != nullptr) {
            id = client->call_id_of(from.id);
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

void compare_usage(const Usage &expected, const Usage &got, const DialectCheck *client,
                   Problems &problems) {
    expect_equal("input tokens", expected.input, got.input, problems);
    expect_equal("cache read tokens", expected.cache_read, got.cache_read, problems);
    if (client == nullptr || client->counts_cache_write) {
        expect_equal("cache write tokens", expected.cache_write, got.cache_write, problems);
    }
    expect_equal("output tokens", expected.output, got.output, problems);
    if (client == nullptr || client->counts_reasoning) {
        expect_equal("reasoning tokens", expected.reasoning, got.reasoning, problems);
    }
}

// A broken stream shows a beginning of what came; calls may wait for their turn.
void compare_beginning(const Message &expected, const Message &got, const DialectCheck &client,
                       Problems &problems) {
    bool is_spoken = client.reads_refusal_as_text;
    const std::string &text = is_spoken ? expected.spoken : expected.text;
    const std::string &shown_text = is_spoken ? got.spoken : got.text;
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
        compare_calls(from, to, nullptr, problems);
    }
    expect_equal("complete", expected.is_complete, got.is_complete, problems);
    expect_equal("error", expected.error_class, got.error_class, problems);
    compare_usage(expected.usage, got.usage, nullptr, problems);
}

void compare_with_client(const Answer &provider, const Answer &client, DialectId dialect,
                         Problems &problems) {
    const DialectCheck &reader = check_of(dialect);
    if (provider.has_error) {
        if (!client.has_error || client.is_complete) {
            problems.push_back("the client does not learn of the error");
        }
        for (const auto &[index, to] : client.choices) {
            auto from = provider.choices.find(index);
            compare_beginning(from == provider.choices.end() ? Message() : from->second, to, reader,
                              problems);
        }
        return;
    }
    if (client.has_error || !client.is_complete) {
        problems.push_back("a complete answer is shown as a broken one: " +
                           shown(client.error_message));
        return;
    }
    for (const auto &[index, from] : provider.choices) {
        if (reader.has_one_choice && index != 0) {
            continue;
        }
        auto found = client.choices.find(index);
        if (found == client.choices.end()) {
            problems.push_back("choice " + std::to_string(index) + " is lost");
            continue;
        }
        const Message &to = found->second;
        if (reader.reads_refusal_as_text) {
            expect_equal("text", from.spoken, to.spoken, problems);
        } else {
            expect_equal("text", from.text, to.text, problems);
            expect_equal("refusal", from.refusal, to.refusal, problems);
        }
        if (from.finish != "error") {
            expect_equal("finish", reader.finish_of(from), to.finish, problems);
        }
        if (reader.is_text_only) {
            continue;
        }
        expect_equal("reasoning", from.reasoning, to.reasoning, problems);
        compare_calls(from, to, &reader, problems);
        // Those of chat services are of many makers, in shapes of their own: left out whole.
        if (reader.carries_signatures && provider.origin != DialectId::openai) {
            expect_equal("signatures", joined(from.signatures),
                         joined(untagged(to.signatures, provider.origin)), problems);
            expect_equal("redacted thinking", joined(from.redacted),
                         joined(untagged(to.redacted, provider.origin)), problems);
        }
    }
    if (provider.usage.known) {
        compare_usage(provider.usage, client.usage, &reader, problems);
    }
}

}  // namespace llm::check
