// Whole answers of the Responses dialect: response object -> ir::Response.
//
// Entry point: parse_response. Output items become parts in their order: messages give a text or
// refusal for each content part, reasoning one block for each item, calls one each; items of tools
// that the provider ran itself stay opaque. A body with an error, a failed or cancelled one, and
// one without output is no answer: upstream_protocol, so that the caller treats it as a failed
// attempt and reads the error from the body.
#include <unordered_set>

#include "translators/dialect/json_stream.hpp"
#include "translators/dialect/responses.hpp"
#include "translators/dialect/responses_answer.hpp"

namespace llm::responses {

namespace {

using json::Value;

class OutputReader {
  public:
    OutputReader(Arena &arena, ir::Response &response)
        : arena_(arena), response_(response), choice_(response.choices.emplace_back()) {}

    void read(Value root);

  private:
    void read_item(Value item);
    void read_message(Value item);
    void read_text(Value part);
    bool is_repeated(Value part, Phase phase);
    void read_reasoning(Value item);
    void read_call(Value item, bool custom);
    void read_image(Value item);
    void read_logprobs();
    JsonText joined(const std::vector<JsonText> &texts, std::string_view between);

    Arena &arena_;
    ir::Response &response_;
    ir::Choice &choice_;
    std::vector<RawJson> logprobs_;             // insides of arrays
    std::unordered_set<std::string_view> ids_;  // of calls: unique in the turn
    uint32_t calls_ = 0;
    std::string commentary_;
    bool has_answer_ = false;
    bool has_text_ = false;
    bool has_refusal_ = false;
};

void OutputReader::read(Value root) {
    for (Value item : root["output"].items()) {
        read_item(item);
    }
    read_logprobs();
    Outcome outcome = read_outcome(root, calls_ > 0, has_refusal_ && !has_text_);
    choice_.finish = outcome.finish;
    choice_.native_finish = outcome.native;
}

void OutputReader::read_item(Value item) {
    Value type = item["type"];
    if (type.equals("message")) {
        read_message(item);
    } else if (type.equals("reasoning")) {
        read_reasoning(item);
    } else if (type.equals("function_call")) {
        read_call(item, false);
    } else if (type.equals("custom_tool_call")) {
        read_call(item, true);
    } else if (type.equals("image_generation_call") && !item["result"].text().empty()) {
        read_image(item);
    } else if (type.is_string()) {
        choice_.parts.push_back({ir::Opaque{DialectId::responses, type.text(), item.raw()}});
    }
}

void OutputReader::read_message(Value item) {
    if (JsonText text = item["content"].text(); !text.empty()) {  // imitators
        has_text_ = true;
        choice_.parts.push_back({ir::Text{text}});
    }
    Phase phase = read_phase(item);
    for (Value part : item["content"].items()) {
        if (part["type"].equals("refusal")) {
            if (JsonText refusal = part["refusal"].text(); !refusal.empty()) {
                has_refusal_ = true;
                choice_.parts.push_back({ir::Refusal{refusal}});
            }
        } else if (!part["text"].text().empty() && !is_repeated(part, phase)) {
            has_text_ = true;
            read_text(part);
        }
    }
}

// An answer in the very words of the commentary before it is said once, as in a stream.
bool OutputReader::is_repeated(Value part, Phase phase) {
    std::string_view text = part["text"].text().bytes;
    if (phase == Phase::commentary && !has_answer_) {
        has_answer_ = commentary_.size() + text.size() > kMaxCommentary;
        commentary_.append(text);
    }
    if (phase != Phase::final_answer || has_answer_) {
        return false;
    }
    has_answer_ = true;
    return text == commentary_ && part["annotations"].size() == 0 && part["logprobs"].size() == 0;
}

void OutputReader::read_text(Value part) {
    ir::Text text;
    text.text = part["text"].text();
    if (Value annotations = part["annotations"]; annotations.size() > 0) {
        text.citations = annotations.raw();
        text.citations_origin = DialectId::responses;
        for (Value annotation : annotations.items()) {
            if (ir::Citation citation; read_annotation(annotation, citation)) {
                text.cited.push_back(citation);
            }
        }
    }
    if (Value logprobs = part["logprobs"]; logprobs.size() > 0) {
        std::string_view list = logprobs.raw().bytes;
        logprobs_.push_back({list.substr(1, list.size() - 2)});
    }
    choice_.parts.push_back({text});
}

// Summaries are what is meant to be shown; services with the raw thoughts send those instead.
void OutputReader::read_reasoning(Value item) {
    std::vector<JsonText> texts;
    for (Value part : item["summary"].items()) {
        if (JsonText text = part["text"].text(); !text.empty()) {
            texts.push_back(text);
        }
    }
    std::string_view between = "\\n\\n";
    if (texts.empty()) {
        between = {};
        for (Value part : item["content"].items()) {
            if (JsonText text = part["text"].text(); !text.empty()) {
                texts.push_back(text);
            }
        }
    }
    ir::Reasoning reasoning;
    reasoning.origin = DialectId::responses;
    reasoning.text = joined(texts, between);
    reasoning.signature = item["encrypted_content"].text();
    reasoning.id = item["id"].text();
    if (!reasoning.text.empty() || !reasoning.signature.empty()) {
        choice_.parts.push_back({reasoning});
    }
}

JsonText OutputReader::joined(const std::vector<JsonText> &texts, std::string_view between) {
    if (texts.size() <= 1) {
        return texts.empty() ? JsonText{} : texts[0];
    }
    size_t size = between.size() * (texts.size() - 1);
    for (JsonText text : texts) {
        size += text.bytes.size();
    }
    char *start = arena_.allocate(size);
    char *at = start;
    for (size_t i = 0; i < texts.size(); ++i) {
        if (i > 0) {
            at += between.copy(at, between.size());
        }
        at += texts[i].bytes.copy(at, texts[i].bytes.size());
    }
    return {{start, size}};
}

void OutputReader::read_call(Value item, bool custom) {
    ir::ToolCall call;
    call.name = item["name"].text();
    if (call.name.empty()) {
        return;
    }
    JsonText id = item["call_id"].text();
    id = id.empty() ? item["id"].text() : id;
    bool is_usable = !id.empty() && ids_.insert(id.bytes).second;
    call.id = is_usable ? id : invent_call_id(response_.id, calls_, arena_);
    ++calls_;
    call.custom = custom;
    Value arguments = item[custom ? "input" : "arguments"];
    call.arguments =
        arguments.is_object() ? arguments.raw().bytes : json::unescape(arguments.text(), arena_);
    choice_.parts.push_back({call});
}

void OutputReader::read_image(Value item) {
    ir::Image image;
    image.source.data = item["result"].text();
    image.source.mime = {image_mime(item)};
    choice_.parts.push_back({image});
}

// As chat has them: one list for the whole answer.
void OutputReader::read_logprobs() {
    if (logprobs_.empty()) {
        return;
    }
    std::string list = "{\"content\":[";
    for (size_t i = 0; i < logprobs_.size(); ++i) {
        list.append(i > 0 ? "," : "").append(logprobs_[i].bytes);
    }
    choice_.logprobs = {arena_.copy(list.append("],\"refusal\":null}"))};
}

}  // namespace

Status parse_response(Value root, Arena &arena, ir::Response &response) {
    if (!root.is_object() || is_error_value(root["error"]) || root["status"].equals("failed") ||
        root["status"].equals("cancelled") || !root["output"].is_array()) {
        return Error{Errc::upstream_protocol, "not a response", "output", 0};
    }
    if (root["output"].size() > kMaxOutput) {
        return Error{Errc::upstream_protocol, "too many output items", "output", 0};
    }
    response.id = root["id"].text();
    response.model = root["model"].text();
    response.created = read_created(root);
    OutputReader(arena, response).read(root);
    read_usage(root["usage"], response.usage);
    return {};
}

}  // namespace llm::responses
