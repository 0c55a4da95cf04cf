// Whole answers of Converse, and the vocabulary that streams share with them: stop reasons, token
// counts, citations, redacted thoughts. inputTokens excludes what the cache took part in, so it is
// added here. Blocks of tools that the service ran itself are kept as they are, for nobody to call.
#include <array>
#include <unordered_set>

#include "translators/core/base64.hpp"
#include "translators/dialect/bedrock.hpp"
#include "translators/dialect/usage_count.hpp"

namespace llm::bedrock {

namespace {

using json::Value;

struct StopReason {
    std::string_view name;
    ir::Finish finish;
};

constexpr std::array<StopReason, 9> kStopReasons = {{
    {"end_turn", ir::Finish::stop},
    {"tool_use", ir::Finish::tool_calls},
    {"max_tokens", ir::Finish::length},
    {"stop_sequence", ir::Finish::stop_sequence},
    {"guardrail_intervened", ir::Finish::content_filter},
    {"content_filtered", ir::Finish::content_filter},
    {"model_context_window_exceeded", ir::Finish::context_length},
    {"malformed_model_output", ir::Finish::malformed},
    {"malformed_tool_use", ir::Finish::malformed},
}};

// A blob that was no text, and kept its base64.
constexpr std::string_view kBlobMark = "blob.";

// Counts come from outside: a sum must not overflow.
int64_t add(int64_t left, int64_t right) {
    int64_t sum = 0;
    return __builtin_add_overflow(left, right, &sum) ? INT64_MAX : sum;
}

// Older answers have a second name for these.
int64_t count_of_either(Value usage, std::string_view name, std::string_view older) {
    Value value = usage.find(name);
    return count_of(value.is_unset() ? usage.find(older) : value);
}

ir::Image read_image(Value image) {
    ir::Image result;
    result.source.data = image["source"]["bytes"].text();
    Value format = image.find("format");
    result.source.mime = {format.equals("png")    ? "image/png"
                          : format.equals("jpeg") ? "image/jpeg"
                          : format.equals("gif")  ? "image/gif"
                          : format.equals("webp") ? "image/webp"
                                                  : ""};
    return result;
}

JsonText join_texts(Value content, Arena &arena) {
    if (content.size() == 1) {
        return (*content.items().begin()).find("text").text();
    }
    ByteBuffer joined;
    for (Value piece : content.items()) {
        joined.append(piece.find("text").text().bytes);
    }
    return {arena.copy(joined.view())};
}

class AnswerReader {
  public:
    AnswerReader(Arena &arena, ir::Choice &choice) : arena_(arena), choice_(choice) {}

    void block(Value block) {
        for (auto [key, value] : block.members()) {
            if (value.is_unset()) {
                continue;
            }
            if (json::equals(key, "text")) {
                ir::Text text;
                text.text = value.text();
                choice_.parts.push_back({std::move(text)});
            } else if (json::equals(key, "toolUse") && !is_server_tool(value)) {
                tool_use(value);
            } else if (json::equals(key, "reasoningContent")) {
                reasoning(value);
            } else if (json::equals(key, "citationsContent")) {
                cited_text(value);
            } else if (json::equals(key, "image")) {
                choice_.parts.push_back({read_image(value)});
            } else {
                choice_.parts.push_back({ir::Opaque{DialectId::bedrock, key, block.raw()}});
            }
            return;  // a block has one member
        }
    }

    bool has_calls() const { return calls_ > 0; }
    bool has_nameless() const { return has_nameless_; }

  private:
    void tool_use(Value value) {
        ir::ToolCall call;
        call.id = value.find("toolUseId").text();
        call.name = value.find("name").text();
        has_nameless_ = has_nameless_ || call.name.empty();
        Value input = value.find("input");
        call.arguments = input.is_unset() ? "{}" : input.raw().bytes;
        uint32_t ordinal = calls_++;
        if (call.id.empty() || !ids_.insert(call.id.bytes).second) {
            call.id = replace_call_id(call.id, call.name, ordinal, arena_);
        }
        choice_.parts.push_back({call});
    }

    void reasoning(Value value) {
        ir::Reasoning reasoning;
        reasoning.origin = DialectId::bedrock;
        Value redacted = value.find("redactedContent");
        reasoning.is_redacted = redacted.is_string();
        if (reasoning.is_redacted) {
            reasoning.redacted = unwrap_redacted(redacted.text(), arena_);
        } else {
            reasoning.text = value["reasoningText"]["text"].text();
            reasoning.signature = value["reasoningText"]["signature"].text();
        }
        choice_.parts.push_back({reasoning});
    }

    void cited_text(Value value) {
        ir::Text text;
        text.text = join_texts(value.find("content"), arena_);
        Value citations = value.find("citations");
        if (citations.size() > 0) {
            text.citations = citations.raw();
            text.citations_origin = DialectId::bedrock;
            for (Value citation : citations.items()) {
                text.cited.push_back(read_citation(citation));
            }
        }
        choice_.parts.push_back({std::move(text)});
    }

    Arena &arena_;
    ir::Choice &choice_;
    std::unordered_set<std::string_view> ids_;  // Case 41: unique in the turn
    uint32_t calls_ = 0;
    bool has_nameless_ = false;
};

}  // namespace

ir::Finish finish_of(JsonText stop_reason, bool has_calls) {
    ir::Finish finish = stop_reason.empty() ? ir::Finish::stop : ir::Finish::other;
    for (const StopReason &known : kStopReasons) {
        if (json::equals(stop_reason, known.name)) {
            finish = known.finish;
        }
    }
    if (finish == ir::Finish::stop || finish == ir::Finish::tool_calls) {
        return has_calls ? ir::Finish::tool_calls : ir::Finish::stop;
    }
    return finish;
}

void read_usage(Value usage, Usage &into) {
    if (!usage.is_object()) {
        return;
    }
    into = {};
    std::optional<int64_t> input = told_count(usage.find("inputTokens"));
    into.cache_read = count_of_either(usage, "cacheReadInputTokens", "cacheReadInputTokenCount");
    into.cache_write = count_of_either(usage, "cacheWriteInputTokens", "cacheWriteInputTokenCount");
    for (Value detail : usage.find("cacheDetails").items()) {
        int64_t tokens = count_of(detail.find("inputTokens"));
        if (detail.find("ttl").equals("1h")) {
            into.cache_write_1h = add(into.cache_write_1h, tokens);
        } else if (detail.find("ttl").equals("5m")) {
            into.cache_write_5m = add(into.cache_write_5m, tokens);
        }
    }
    if (into.cache_write == 0) {
        into.cache_write = add(into.cache_write_5m, into.cache_write_1h);
    }
    if (input) {
        into.input = add(*input, add(into.cache_read, into.cache_write));
        into.known =
            is_output_told(usage.find("outputTokens"), usage.find("totalTokens"), into.input);
    }
    into.output = count_of(usage.find("outputTokens"));
    into.normalise();
}

bool is_server_tool(Value tool_use) {
    Value type = tool_use.find("type");
    return type.is_string() && !type.equals("tool_use");
}

ir::Citation read_citation(Value citation) {
    ir::Citation common;
    common.title = citation.find("title").text();
    common.url = citation["location"]["web"]["url"].text();
    for (Value piece : citation.find("sourceContent").items()) {
        common.quote = piece.find("text").text();
        break;
    }
    return common;
}

JsonText replace_call_id(JsonText id, JsonText name, uint32_t ordinal, Arena &arena) {
    return invent_call_id(id.empty() ? name : id, ordinal, arena);
}

JsonText unwrap_redacted(JsonText blob, Arena &arena) {
    std::string_view base64 = json::unescape(blob, arena);
    std::string_view data = decode_base64(base64, arena);
    for (char c : data) {
        if (c < ' ' || c > '~') {
            std::string_view pieces[] = {kBlobMark, base64};
            ByteBuffer marked;
            for (std::string_view piece : pieces) {
                marked.append(piece);
            }
            return json::escape(arena.copy(marked.view()), arena);
        }
    }
    return json::escape(data, arena);
}

JsonText wrap_redacted(JsonText data, Arena &arena) {
    std::string_view plain = json::unescape(data, arena);
    if (plain.starts_with(kBlobMark)) {
        return json::escape(plain.substr(kBlobMark.size()), arena);
    }
    return {encode_base64(plain, arena)};
}

Status parse_response(Value root, Arena &arena, ir::Response &response) {
    Value content = root["output"]["message"]["content"];
    if (!content.is_array()) {
        return Error{Errc::upstream_protocol, "the answer is not one of Converse", {}, 0};
    }
    ir::Choice choice;
    choice.parts.reserve(content.size());
    AnswerReader reader(arena, choice);
    for (Value block : content.items()) {
        if (!block.is_object()) {
            return Error{Errc::upstream_protocol, "a content block is not an object", {}, 0};
        }
        reader.block(block);
    }
    if (reader.has_nameless()) {
        return Error{Errc::upstream_protocol, "a call has no name", {}, 0};
    }
    choice.native_finish = root.find("stopReason").text();
    choice.finish = finish_of(choice.native_finish, reader.has_calls());
    if (choice.finish == ir::Finish::stop_sequence) {
        choice.stop_sequence = root["additionalModelResponseFields"]["stop_sequence"].text();
    }
    response.choices.push_back(std::move(choice));
    read_usage(root.find("usage"), response.usage);
    return {};
}

}  // namespace llm::bedrock
