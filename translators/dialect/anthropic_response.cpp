// Whole answers of the messages dialect, both ways, and the vocabulary that streams share with
// them: stop reasons, token counts, ids. Towards the IR cached tokens are added to the input;
// towards the client they are subtracted again. A turn with a tool_use block never says end_turn.
#include <array>
#include <unordered_set>
#include <utility>

#include "translators/dialect/anthropic.hpp"
#include "translators/dialect/opaque_tag.hpp"
#include "translators/dialect/tool_arguments.hpp"
#include "translators/dialect/usage_count.hpp"

namespace llm::anthropic {

namespace {

using json::Value;

struct StopReason {
    std::string_view name;
    ir::Finish finish;
};

constexpr std::array<StopReason, 8> kStopReasons = {{
    {"end_turn", ir::Finish::stop},
    {"stop_sequence", ir::Finish::stop_sequence},
    {"max_tokens", ir::Finish::length},
    {"tool_use", ir::Finish::tool_calls},
    {"pause_turn", ir::Finish::pause},
    {"refusal", ir::Finish::refusal},
    {"model_context_window_exceeded", ir::Finish::context_length},
    {"compaction", ir::Finish::stop},
}};

// Of input and output in RawUsage: it was not told, or the last word on it cannot be read.
constexpr int64_t kUntold = -1;

void take(Value value, int64_t &into, int64_t otherwise = 0) {
    if (!value.is_unset()) {
        into = told_count(value).value_or(otherwise);
    }
}

bool is_message(Value root) {
    return root.is_object() && root.find("type").equals("message") &&
           root.find("content").is_array();
}

bool has_tool_call(const ir::Choice &choice) {
    for (const ir::Part &part : choice.parts) {
        if (std::holds_alternative<ir::ToolCall>(part.is)) {
            return true;
        }
    }
    return false;
}

// Writes the blocks of one answer and remembers what the stop reason and an estimate depend on.
class ContentWriter {
  public:
    ContentWriter(const ClientView &view, Arena &arena, json::Writer &writer)
        : view_(view), arena_(arena), writer_(writer) {}

    void operator()(const ir::Text &text) {
        if (text.text.empty()) {
            return;
        }
        writer_.object().key("type").plain("text").key("text").text(text.text);
        // Others' citations must not reach the client: it sends them back, and the API refuses
        // them.
        if (text.citations_origin == DialectId::anthropic && !text.citations.empty()) {
            writer_.key("citations").raw(text.citations);
        }
        writer_.end();
        bytes += text.text.bytes.size();
    }

    void operator()(const ir::Refusal &refusal) {
        ir::Text text;
        text.text = refusal.text;
        (*this)(text);
    }

    void operator()(const ir::ToolCall &call) {
        bytes += call.arguments.size();
        if (view_.json_tool && json::equals(call.name, kJsonTool)) {
            writer_.object().key("type").plain("text").key("text").plain(call.arguments).end();
            return;
        }
        has_tools = true;
        writer_.object().key("type").plain("tool_use").key("id");
        writer_.text(call_id_for_anthropic(call.id, arena_));
        writer_.key("name").text(tool_name_for_client(call.name, view_.renamed)).key("input");
        if (call.custom) {
            writer_.object().key("input").plain(call.arguments).end();
        } else {
            writer_.raw(arguments_as_object(call.arguments, arena_));
        }
        writer_.end();
    }

    void operator()(const ir::Reasoning &reasoning) {
        bytes += reasoning.text.bytes.size();
        if (!view_.show_reasoning ||
            (reasoning.text.empty() && reasoning.signature.empty() && reasoning.redacted.empty())) {
            return;
        }
        JsonText opaque = tag_opaque(
            reasoning.origin, reasoning.is_redacted ? reasoning.redacted : reasoning.signature,
            DialectId::anthropic, arena_);
        writer_.object().key("type");
        if (reasoning.is_redacted) {
            writer_.plain("redacted_thinking").key("data").text(opaque).end();
            return;
        }
        writer_.plain("thinking").key("thinking").text(reasoning.text);
        writer_.key("signature").text(opaque).end();
    }

    void operator()(const ir::Opaque &opaque) {
        if (opaque.dialect == DialectId::anthropic) {
            writer_.raw(opaque.json);
        }
    }

    void operator()(const ir::Image &) {}
    void operator()(const ir::Document &) {}
    void operator()(const ir::Audio &) {}
    void operator()(const ir::ToolResult &) {}

    bool has_tools = false;
    uint64_t bytes = 0;

  private:
    const ClientView &view_;
    Arena &arena_;
    json::Writer &writer_;
};

}  // namespace

ir::Finish finish_of(JsonText stop_reason) {
    for (const StopReason &known : kStopReasons) {
        if (json::equals(stop_reason, known.name)) {
            return known.finish;
        }
    }
    return ir::Finish::other;
}

std::string_view stop_reason_of(ir::Finish finish, bool has_tools, bool has_sequence) {
    std::string_view done = has_tools ? "tool_use" : "end_turn";
    switch (finish) {
        case ir::Finish::stop_sequence:
            return has_sequence && !has_tools ? "stop_sequence" : done;
        case ir::Finish::length:
            return "max_tokens";
        case ir::Finish::context_length:
            return "model_context_window_exceeded";
        case ir::Finish::content_filter:
        case ir::Finish::refusal:
            return "refusal";
        case ir::Finish::pause:
            return has_tools ? done : "pause_turn";
        case ir::Finish::stop:
        case ir::Finish::tool_calls:
        case ir::Finish::malformed:
        case ir::Finish::error:
        case ir::Finish::other:
            break;
    }
    return done;
}

void RawUsage::merge(Value usage) {
    if (!usage.is_object()) {
        return;
    }
    if (!std::exchange(known, true)) {
        input = output = kUntold;
    }
    take(usage.find("input_tokens"), input, kUntold);
    take(usage.find("output_tokens"), output, kUntold);
    take(usage.find("cache_read_input_tokens"), cache_read);
    take(usage.find("cache_creation_input_tokens"), cache_write);
    take(usage["cache_creation"]["ephemeral_5m_input_tokens"], cache_write_5m);
    take(usage["cache_creation"]["ephemeral_1h_input_tokens"], cache_write_1h);
    take(usage["output_tokens_details"]["thinking_tokens"], thinking);
    take(usage["server_tool_use"]["web_search_requests"], web_searches);
}

namespace {

// Counts come from outside: a sum must not overflow.
int64_t add(int64_t left, int64_t right) {
    int64_t sum = 0;
    return __builtin_add_overflow(left, right, &sum) ? INT64_MAX : sum;
}

}  // namespace

void RawUsage::merge_metrics(Value metrics) {
    if (!metrics.is_object() || input > 0 || cache_read > 0 || cache_write > 0) {
        return;
    }
    if (!std::exchange(known, true)) {
        input = output = kUntold;
    }
    take(metrics.find("inputTokenCount"), input, kUntold);
    take(metrics.find("cacheReadInputTokenCount"), cache_read);
    take(metrics.find("cacheWriteInputTokenCount"), cache_write);
    if (output <= 0) {
        take(metrics.find("outputTokenCount"), output, kUntold);
    }
}

Usage RawUsage::to_usage() const {
    Usage usage;
    usage.known = known && input >= 0 && output >= 0;
    usage.web_searches = web_searches;
    usage.cache_read = cache_read;
    usage.cache_write = cache_write;
    if (cache_write == 0) {
        usage.cache_write = add(cache_write_5m, cache_write_1h);
    }
    usage.cache_write_5m = cache_write_5m;
    usage.cache_write_1h = cache_write_1h;
    // Of cached tokens alone nobody could tell how many the others were.
    usage.input = input < 0 ? 0 : add(input, add(usage.cache_read, usage.cache_write));
    usage.output = output;
    usage.reasoning = thinking;
    usage.normalise();
    return usage;
}

void write_usage(Usage usage, json::Writer &writer) {
    usage.normalise();
    writer.key("input_tokens").number(usage.input - usage.cache_read - usage.cache_write);
    writer.key("cache_creation_input_tokens").number(usage.cache_write);
    writer.key("cache_read_input_tokens").number(usage.cache_read);
    if (usage.cache_write_5m > 0 || usage.cache_write_1h > 0) {
        writer.key("cache_creation").object();
        writer.key("ephemeral_5m_input_tokens").number(usage.cache_write_5m);
        writer.key("ephemeral_1h_input_tokens").number(usage.cache_write_1h).end();
    }
    writer.key("output_tokens").number(usage.output);
}

JsonText invent_message_id(const ClientView &view, Arena &arena) {
    constexpr std::string_view kPrefix = "msg_";
    constexpr size_t kDigits = 24;
    char *id = arena.allocate(kPrefix.size() + kDigits);
    memcpy(id, kPrefix.data(), kPrefix.size());
    uint64_t bits = 0;
    for (size_t i = 0; i < kDigits; ++i) {
        if (i % 16 == 0) {
            bits = view.ids == nullptr ? 0 : view.ids->next();
        }
        id[kPrefix.size() + i] = "0123456789abcdef"[bits & 15];
        bits >>= 4;
    }
    return {{id, kPrefix.size() + kDigits}};
}

ir::Citation read_citation(Value citation) {
    ir::Citation common;
    common.url = citation.find("url").text();
    Value title = citation.find("title");
    common.title = title.is_string() ? title.text() : citation.find("document_title").text();
    common.quote = citation.find("cited_text").text();
    common.start = 0;  // it belongs to its whole block; offsets in it are those of the source
    return common;
}

bool is_server_block(JsonText type) {
    std::string_view name = type.bytes;
    return name == "server_tool_use" || name == "mcp_tool_use" || name == "compaction" ||
           name == "container_upload" || name == "fallback" || name.ends_with("_tool_result");
}

ir::Part parse_answer_block(Value block) {
    Value type = block.find("type");
    if (type.equals("text")) {
        ir::Text text;
        text.text = block.find("text").text();
        if (block.find("citations").size() > 0) {
            text.citations = block.find("citations").raw();
            for (Value citation : block.find("citations").items()) {
                text.cited.push_back(read_citation(citation));
            }
        }
        return {text};
    }
    if (type.equals("tool_use")) {
        ir::ToolCall call;
        call.id = block.find("id").text();
        call.name = block.find("name").text();
        call.arguments = block.find("input").is_unset() ? "{}" : block.find("input").raw().bytes;
        return {call};
    }
    if (type.equals("thinking") || type.equals("redacted_thinking")) {
        ir::Reasoning reasoning;
        reasoning.origin = DialectId::anthropic;
        reasoning.is_redacted = type.equals("redacted_thinking");
        reasoning.text = block.find("thinking").text();
        reasoning.signature = block.find("signature").text();
        reasoning.redacted = block.find("data").text();
        return {reasoning};
    }
    return {ir::Opaque{DialectId::anthropic, type.text(), block.raw()}};
}

Status parse_response(Value root, Arena &arena, ir::Response &response) {
    if (!is_message(root)) {
        return Error{Errc::upstream_protocol, "the answer is not a message", {}, 0};
    }
    response.id = root.find("id").text();
    response.model = root.find("model").text();
    ir::Choice choice;
    choice.parts.reserve(root.find("content").size() + 1);
    std::unordered_set<std::string_view> ids;  // Case 41: unique in the turn
    uint32_t calls = 0;
    for (Value block : root.find("content").items()) {
        if (!block.is_object()) {
            return Error{Errc::upstream_protocol, "a content block is not an object", {}, 0};
        }
        choice.parts.push_back(parse_answer_block(block));
        if (auto *call = std::get_if<ir::ToolCall>(&choice.parts.back().is)) {
            if (call->name.empty()) {
                return Error{Errc::upstream_protocol, "a call has no name", {}, 0};
            }
            uint32_t ordinal = calls++;
            if (call->id.empty() || !ids.insert(call->id.bytes).second) {
                call->id = invent_call_id(response.id, ordinal, arena);
            }
        }
    }
    bool has_tools = has_tool_call(choice);
    Value stop = root.find("stop_reason");
    choice.native_finish = stop.text();
    choice.stop_sequence = root.find("stop_sequence").text();
    choice.finish = stop.is_string() ? finish_of(stop.text()) : ir::Finish::stop;
    if (choice.finish == ir::Finish::stop && has_tools) {
        choice.finish = ir::Finish::tool_calls;
    }
    JsonText explanation = root["stop_details"]["explanation"].text();
    if (choice.finish == ir::Finish::refusal && !explanation.empty()) {
        choice.parts.push_back({ir::Refusal{explanation}});
    }
    response.choices.push_back(std::move(choice));
    RawUsage usage;
    usage.merge(root.find("usage"));
    response.usage = usage.to_usage();
    return {};
}

void render_response(const ir::Response &response, const ClientView &view, Arena &arena,
                     json::Writer &writer) {
    writer.object();
    writer.key("id").text(response.id.empty() ? invent_message_id(view, arena) : response.id);
    writer.key("type").plain("message").key("role").plain("assistant").key("model");
    if (response.model.empty()) {
        writer.plain(view.model);
    } else {
        writer.text(response.model);
    }
    ContentWriter content(view, arena, writer);
    ir::Finish finish = ir::Finish::stop;
    JsonText sequence;
    writer.key("content").array();
    if (!response.choices.empty()) {
        const ir::Choice &choice = response.choices.front();
        for (const ir::Part &part : choice.parts) {
            std::visit(content, part.is);
        }
        finish = choice.finish;
        sequence = choice.stop_sequence;
    }
    writer.end();
    std::string_view reason = stop_reason_of(finish, content.has_tools, !sequence.empty());
    writer.key("stop_reason").plain(reason).key("stop_sequence");
    if (reason == "stop_sequence") {
        writer.text(sequence);
    } else {
        writer.null();
    }
    Usage usage = response.usage;
    if (!usage.known) {
        usage.input = estimate_tokens(view.request_bytes);
        usage.output = estimate_tokens(content.bytes);
    }
    writer.key("usage").object();
    write_usage(usage, writer);
    writer.end().end();
}

bool observe_response(Value root, Usage &usage, JsonText &model, JsonText &finish) {
    if (!is_message(root)) {
        return false;
    }
    RawUsage raw;
    raw.merge(root.find("usage"));
    usage = raw.to_usage();
    model = root.find("model").text();
    finish = root.find("stop_reason").text();
    return true;
}

}  // namespace llm::anthropic
