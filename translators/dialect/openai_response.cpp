// Whole chat answers: chat.completion body <-> ir::Response, and what pass-through reads of one.
//
// Entry points: parse_response, render_response, observe_response. An answer without choices, with
// an `error` member, or with an error for its finish_reason, is no answer: parsing fails with
// upstream_protocol and observing returns false, so that the caller treats it as a failed attempt.
#include <algorithm>
#include <unordered_set>

#include "translators/dialect/custom_input.hpp"
#include "translators/dialect/openai.hpp"
#include "translators/dialect/openai_answer.hpp"
#include "translators/dialect/reasoning_details.hpp"

namespace llm::openai {

namespace {

using json::Value;

constexpr uint32_t kMaxChoices = 128;

bool is_answer(Value root) {
    return root.is_object() && root["error"].is_unset() && root["choices"].is_array() &&
           root["choices"].size() > 0;
}

// The provider says itself that it did not come to an end.
bool has_failed(Value root) {
    for (Value choice : root["choices"].items()) {
        if (read_finish(choice["finish_reason"].text(), false) == ir::Finish::error) {
            return true;
        }
    }
    return false;
}

// --- parse ----------------------------------------------------------------------------------

class ChoiceReader {
  public:
    ChoiceReader(JsonText answer_id, uint32_t &ordinal, Arena &arena)
        : answer_id_(answer_id), ordinal_(ordinal), arena_(arena) {}

    void read(Value choice, ir::Choice &result);

  private:
    void read_reasoning(Value message, ir::Choice &result);
    void read_content(Value content, ir::Choice &result);
    void read_citations(Value annotations, ir::Choice &result);
    void read_google_signature(Value holder, ir::Choice &result);
    void read_call(JsonText id, Value function, bool custom, ir::Choice &result);

    JsonText answer_id_;
    uint32_t &ordinal_;
    Arena &arena_;
    std::unordered_set<std::string_view> ids_;  // Case 41: unique in the turn
};

void ChoiceReader::read(Value choice, ir::Choice &result) {
    Value message = choice["message"];
    read_reasoning(message, result);
    read_content(message["content"], result);
    read_citations(message["annotations"], result);
    read_google_signature(message, result);
    if (JsonText refusal = message["refusal"].text(); !refusal.empty()) {
        result.parts.push_back({ir::Refusal{refusal}});
    }
    if (Value audio = message["audio"]; audio.is_object()) {
        result.parts.push_back({ir::Opaque{DialectId::openai, {"audio"}, audio.raw()}});
    }
    for (Value element : message["images"].items()) {
        if (std::optional<DataUrl> image = read_image(element, arena_)) {
            result.parts.push_back({ir::Image{{.mime = image->mime, .data = image->data}}});
        }
    }
    size_t before = result.parts.size();
    for (Value call : message["tool_calls"].items()) {
        bool custom = call["type"].equals("custom");
        read_google_signature(call, result);
        read_call(call["id"].text(), call[custom ? "custom" : "function"], custom, result);
    }
    if (Value function = message["function_call"]; function.is_object()) {
        read_call({}, function, false, result);
    }
    bool has_calls = std::any_of(
        result.parts.begin() + static_cast<std::ptrdiff_t>(before), result.parts.end(),
        [](const ir::Part &part) { return std::holds_alternative<ir::ToolCall>(part.is); });

    result.native_finish = choice["finish_reason"].text();
    result.finish = read_finish(result.native_finish, has_calls);
    if (Value stop = choice["stop_reason"];
        result.finish == ir::Finish::stop && stop.is_string() && !stop.text().empty()) {
        result.finish = ir::Finish::stop_sequence;  // vLLM says which
        result.stop_sequence = stop.text();
    }
    if (Value logprobs = choice["logprobs"]; logprobs.is_object()) {
        result.logprobs = logprobs.raw();
    }
}

// Services give the same text in two members: the details say which text each opaque value is for.
void ChoiceReader::read_reasoning(Value message, ir::Choice &result) {
    Value details = message["reasoning_details"];
    JsonText text = reasoning_text(message);
    if (!text.empty() && !has_detail_text(details)) {
        result.parts.push_back({ir::Reasoning{text}});
    }
    for (Value detail : details.items()) {
        ir::Reasoning reasoning = read_detail(detail, arena_);
        if (!reasoning.text.empty() || !reasoning.signature.empty() || reasoning.is_redacted) {
            result.parts.push_back({reasoning});
        }
    }
}

void ChoiceReader::read_content(Value content, ir::Choice &result) {
    if (content.is_string()) {
        if (!content.text().empty()) {
            result.parts.push_back({ir::Text{content.text()}});
        }
        return;
    }
    for (Value part : content.items()) {
        if (part["type"].equals("thinking")) {
            for (Value piece : part["thinking"].items()) {
                if (JsonText text = piece["text"].text(); !text.empty()) {
                    result.parts.push_back({ir::Reasoning{text}});
                }
            }
            if (JsonText text = part["thinking"].text(); !text.empty()) {
                result.parts.push_back({ir::Reasoning{text}});
            }
        } else if (JsonText text = part["text"].text(); !text.empty()) {
            result.parts.push_back({ir::Text{text}});
        } else if (JsonText refusal = part["refusal"].text(); !refusal.empty()) {
            result.parts.push_back({ir::Refusal{refusal}});
        }
    }
}

void ChoiceReader::read_citations(Value annotations, ir::Choice &result) {
    auto *text = result.parts.empty() ? nullptr : std::get_if<ir::Text>(&result.parts.back().is);
    if (text == nullptr || annotations.size() == 0) {
        return;
    }
    auto is_text = [](const ir::Part &part) { return std::holds_alternative<ir::Text>(part.is); };
    bool is_first = std::count_if(result.parts.begin(), result.parts.end(), is_text) == 1;
    text->citations = annotations.raw();
    text->citations_origin = DialectId::openai;
    for (Value annotation : annotations.items()) {
        text->cited.push_back(read_annotation(annotation, is_first));
    }
}

void ChoiceReader::read_google_signature(Value holder, ir::Choice &result) {
    if (JsonText signature = google_signature(holder); !signature.empty()) {
        ir::Reasoning reasoning;
        reasoning.origin = DialectId::gemini;
        reasoning.signature = signature;
        result.parts.push_back({reasoning});
    }
}

void ChoiceReader::read_call(JsonText id, Value function, bool custom, ir::Choice &result) {
    ir::ToolCall call;
    uint32_t ordinal = ordinal_++;
    call.name = function["name"].text();
    if (call.name.empty()) {
        return;
    }
    bool is_usable = !id.empty() && ids_.insert(id.bytes).second;
    call.id = is_usable ? id : invent_call_id(answer_id_, ordinal, arena_);
    call.custom = custom;
    Value arguments = function[custom ? "input" : "arguments"];
    if (arguments.is_string()) {
        call.arguments = json::unescape(arguments.text(), arena_);
    } else if (arguments.is_object()) {
        call.arguments = arguments.raw().bytes;
    }
    result.parts.push_back({call});
}

// --- render ---------------------------------------------------------------------------------

class ResponseWriter {
  public:
    ResponseWriter(const ir::Response &response, const ClientView &view, json::Writer &writer)
        : response_(response), view_(view), writer_(writer) {}

    void write();

  private:
    const ir::ToolCall *output_of(const ir::Part &part) const;
    bool has_calls(const ir::Choice &choice) const;
    void write_choice(size_t index);
    void write_content(const ir::Choice &choice, bool calls_tools);
    void write_reasoning(const ir::Choice &choice);
    void write_annotations(const ir::Choice &choice);
    void write_images(const ir::Choice &choice);
    void write_calls(const ir::Choice &choice);

    const ir::Response &response_;
    const ClientView &view_;
    json::Writer &writer_;
};

void ResponseWriter::write() {
    writer_.object().key("id");
    if (response_.id.empty()) {
        write_answer_id(view_, writer_);
    } else {
        writer_.text(response_.id);
    }
    writer_.key("object").plain("chat.completion");
    writer_.key("created").number(response_.created != 0 ? response_.created : view_.now);
    writer_.key("model");
    if (response_.model.empty()) {
        writer_.plain(view_.model);
    } else {
        writer_.text(response_.model);
    }
    writer_.key("choices").array();
    for (size_t i = 0; i < response_.choices.size(); ++i) {
        write_choice(i);
    }
    writer_.end();
    if (response_.usage.known) {
        writer_.key("usage");
        write_usage(response_.usage, writer_);
    }
    writer_.key("system_fingerprint").null().end();
}

template <class T>
bool holds(const ir::Choice &choice) {
    for (const ir::Part &part : choice.parts) {
        if (std::holds_alternative<T>(part.is)) {
            return true;
        }
    }
    return false;
}

// Structured output that came as the arguments of a forced tool: it is the text of the answer.
const ir::ToolCall *ResponseWriter::output_of(const ir::Part &part) const {
    const auto *call = view_.json_tool ? std::get_if<ir::ToolCall>(&part.is) : nullptr;
    return call != nullptr && json::equals(call->name, kJsonTool) ? call : nullptr;
}

bool ResponseWriter::has_calls(const ir::Choice &choice) const {
    for (const ir::Part &part : choice.parts) {
        if (std::holds_alternative<ir::ToolCall>(part.is) && output_of(part) == nullptr) {
            return true;
        }
    }
    return false;
}

void ResponseWriter::write_choice(size_t index) {
    const ir::Choice &choice = response_.choices[index];
    bool calls_tools = has_calls(choice);
    writer_.object().key("index").number(static_cast<int64_t>(index));
    writer_.key("message").object().key("role").plain("assistant");
    write_content(choice, calls_tools);
    if (view_.show_reasoning) {
        write_reasoning(choice);
    }
    write_annotations(choice);
    write_images(choice);
    for (const ir::Part &part : choice.parts) {
        const auto *opaque = std::get_if<ir::Opaque>(&part.is);
        if (opaque != nullptr && opaque->dialect == DialectId::openai) {
            writer_.key(opaque->type).raw(opaque->json);
        }
    }
    if (calls_tools) {
        write_calls(choice);
    }
    writer_.end();
    writer_.key("logprobs");
    if (choice.logprobs.empty()) {
        writer_.null();
    } else {
        writer_.raw(choice.logprobs);
    }
    bool is_output = view_.json_tool && !calls_tools;
    ir::Finish reason =
        is_output && choice.finish == ir::Finish::tool_calls ? ir::Finish::stop : choice.finish;
    std::string_view finish = finish_name(reason, calls_tools, view_.legacy_functions);
    writer_.key("finish_reason").plain(finish);
    if (!choice.native_finish.empty() && !json::equals(choice.native_finish, finish)) {
        writer_.key("native_finish_reason").text(choice.native_finish);
    }
    writer_.end();
}

// Text blocks are joined with nothing between them: a citation may have cut a sentence in two.
void ResponseWriter::write_content(const ir::Choice &choice, bool calls_tools) {
    bool has_refusal = holds<ir::Refusal>(choice);
    bool has_output = holds<ir::ToolCall>(choice) && !calls_tools;
    writer_.key("content");
    if (holds<ir::Text>(choice) || has_output) {
        writer_.open_text();
        for (const ir::Part &part : choice.parts) {
            if (const auto *text = std::get_if<ir::Text>(&part.is)) {
                writer_.piece(text->text);
            } else if (const ir::ToolCall *output = output_of(part)) {
                writer_.piece_plain(output->arguments.empty() ? "{}" : output->arguments);
            }
        }
        writer_.close_text();
    } else if (calls_tools || has_refusal) {
        writer_.null();
    } else {
        writer_.plain("");
    }
    writer_.key("refusal");
    if (!has_refusal) {
        writer_.null();
        return;
    }
    writer_.open_text();
    for (const ir::Part &part : choice.parts) {
        if (const auto *refusal = std::get_if<ir::Refusal>(&part.is)) {
            writer_.piece(refusal->text);
        }
    }
    writer_.close_text();
}

void ResponseWriter::write_reasoning(const ir::Choice &choice) {
    bool has_text = false;
    bool has_opaque = false;
    auto is_opaque = [](const ir::Reasoning &reasoning) {
        return reasoning.is_redacted ? !reasoning.redacted.empty() : !reasoning.signature.empty();
    };
    for (const ir::Part &part : choice.parts) {
        if (const auto *reasoning = std::get_if<ir::Reasoning>(&part.is)) {
            has_text = has_text || !reasoning->text.empty();
            has_opaque = has_opaque || is_opaque(*reasoning);
        }
    }
    if (has_text) {
        writer_.key("reasoning_content").open_text();
        for (const ir::Part &part : choice.parts) {
            if (const auto *reasoning = std::get_if<ir::Reasoning>(&part.is)) {
                writer_.piece(reasoning->text);
            }
        }
        writer_.close_text();
    }
    if (!has_opaque) {
        return;
    }
    writer_.key("thinking_blocks").array();
    for (const ir::Part &part : choice.parts) {
        const auto *reasoning = std::get_if<ir::Reasoning>(&part.is);
        if (reasoning != nullptr && is_opaque(*reasoning)) {
            write_thinking_block(
                reasoning->origin, reasoning->is_redacted, reasoning->text,
                reasoning->is_redacted ? reasoning->redacted : reasoning->signature, writer_);
        }
    }
    writer_.end();
}

void ResponseWriter::write_annotations(const ir::Choice &choice) {
    auto is_cited = [](const ir::Part &part) {
        const auto *text = std::get_if<ir::Text>(&part.is);
        return text != nullptr && (!text->citations.empty() || !text->cited.empty());
    };
    if (std::none_of(choice.parts.begin(), choice.parts.end(), is_cited)) {
        return;  // as nearly always: nothing to count
    }
    ByteBuffer list;
    AnnotationWriter annotations(list);
    json::Reader reader;
    int64_t end = 0;
    for (const ir::Part &part : choice.parts) {
        const auto *text = std::get_if<ir::Text>(&part.is);
        if (text == nullptr) {
            continue;
        }
        int64_t begin = end;
        end += count_characters(text->text);
        bool is_own = text->citations_origin == DialectId::openai && !text->citations.empty();
        Result<Value> own = reader.parse_unpadded(is_own ? text->citations.bytes : "[]");
        if (is_own && own) {
            for (Value annotation : own->items()) {
                annotations.raw(annotation.raw());
            }
            continue;
        }
        for (const ir::Citation &citation : text->cited) {
            annotations.add(citation, begin, end);
        }
    }
    if (list.size() > 0) {
        writer_.key("annotations").array().raw({list.view()}).end();
    }
}

void ResponseWriter::write_images(const ir::Choice &choice) {
    int64_t count = 0;
    for (const ir::Part &part : choice.parts) {
        if (const auto *image = std::get_if<ir::Image>(&part.is)) {
            if (count == 0) {
                writer_.key("images").array();
            }
            write_image(count++, image->source.mime, image->source.data, writer_);
        }
    }
    if (count > 0) {
        writer_.end();
    }
}

void ResponseWriter::write_calls(const ir::Choice &choice) {
    json::Reader reader;
    auto write_function = [this, &reader](const ir::ToolCall &call, JsonText name) {
        writer_.object().key("name").text(name);
        std::optional<JsonText> input;
        if (!call.custom && is_custom_tool(view_, name) &&
            (input = custom_input(call.arguments, reader))) {
            writer_.key("input").text(*input);
        } else if (call.custom || is_custom_tool(view_, name)) {
            writer_.key("input").plain(call.arguments);
        } else {
            bool is_blank = call.arguments.find_first_not_of(" \t\r\n") == std::string_view::npos;
            writer_.key("arguments").plain(is_blank ? "{}" : call.arguments);
        }
        writer_.end();
    };
    if (!view_.legacy_functions) {
        writer_.key("tool_calls").array();
    }
    for (const ir::Part &part : choice.parts) {
        const auto *call = std::get_if<ir::ToolCall>(&part.is);
        if (call == nullptr || output_of(part) != nullptr) {
            continue;
        }
        JsonText name = tool_name_for_client(call->name, view_.renamed);
        if (view_.legacy_functions) {
            writer_.key("function_call");  // the old form has room for one
            write_function(*call, name);
            return;
        }
        bool is_custom = call->custom || is_custom_tool(view_, name);
        std::string_view type = is_custom ? "custom" : "function";
        writer_.object().key("id").text(call->id).key("type").plain(type).key(type);
        write_function(*call, name);
        writer_.end();
    }
    writer_.end();
}

// Addresses for the whole answer: they go with its last text, unless it has citations of its own.
void cite_addresses(Value root, ir::Choice &choice) {
    if (root["citations"].size() == 0) {
        return;
    }
    for (size_t i = choice.parts.size(); i-- > 0;) {
        if (auto *text = std::get_if<ir::Text>(&choice.parts[i].is)) {
            if (text->citations.empty()) {
                text->cited = read_addresses(root);
                text->citations_origin = DialectId::openai;
            }
            return;
        }
    }
}

}  // namespace

Status parse_response(Value root, Arena &arena, ir::Response &response) {
    if (!is_answer(root)) {
        return Error{Errc::upstream_protocol, "not a chat completion", "choices", 0};
    }
    if (has_failed(root)) {
        return Error{Errc::upstream_protocol, "the provider ended its answer with an error",
                     "finish_reason", 0};
    }
    if (root["choices"].size() > kMaxChoices) {
        return Error{Errc::upstream_protocol, "too many choices", "choices", 0};
    }
    response.id = root["id"].text();
    response.model = root["model"].text();
    response.created = std::max<int64_t>(root["created"].as_int().value_or(0), 0);

    std::vector<std::pair<int64_t, Value>> choices;
    for (Value choice : root["choices"].items()) {
        if (!choice["message"].is_object()) {
            return Error{Errc::upstream_protocol, "a choice without a message", "choices", 0};
        }
        int64_t position = static_cast<int64_t>(choices.size());
        choices.push_back({choice["index"].as_int().value_or(position), choice});
    }
    std::stable_sort(choices.begin(), choices.end(),
                     [](const auto &a, const auto &b) { return a.first < b.first; });
    uint32_t ordinal = 0;
    for (const auto &[index, choice] : choices) {
        ChoiceReader(response.id, ordinal, arena).read(choice, response.choices.emplace_back());
    }
    read_usage(find_usage(root), response.usage);
    cite_addresses(root, response.choices.front());
    return {};
}

void render_response(const ir::Response &response, const ClientView &view, Arena &,
                     json::Writer &writer) {
    ResponseWriter(response, view, writer).write();
}

bool observe_response(Value root, Usage &usage, JsonText &model, JsonText &finish) {
    if (!is_answer(root) || has_failed(root)) {
        return false;
    }
    read_usage(find_usage(root), usage);
    model = root["model"].text();
    for (Value choice : root["choices"].items()) {
        if (finish = choice["finish_reason"].text(); !finish.empty()) {
            break;
        }
    }
    return true;
}

}  // namespace llm::openai
