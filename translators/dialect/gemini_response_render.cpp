// Whole answers for Gemini clients, and what a pass-through answer says of itself.
//
// A signature has no part of its own: Google's, and any that needs no text, stands on the call that
// follows, else on an empty text part; another maker's stands on the thoughts that it signs.
#include "translators/dialect/gemini.hpp"
#include "translators/dialect/gemini_client.hpp"
#include "translators/dialect/tool_arguments.hpp"

namespace llm::gemini {

namespace {

using json::Value;

class PartsWriter {
  public:
    PartsWriter(const ClientView &view, Arena &arena, json::Writer &writer)
        : view_(view), arena_(arena), writer_(writer) {}

    Grounding grounding;

    void operator()(const ir::Text &text) {
        output_text(text.text);
        for (const ir::Citation &citation : text.cited) {
            grounding.cite(citation);
        }
        if (text.citations_origin == DialectId::gemini && !text.citations.empty()) {
            json::Reader reader;
            Result<Value> list = reader.parse_unpadded(text.citations.bytes);
            if (list && list->size() > 0) {
                grounding.cite_raw((*list->items().begin()).raw());
            }
        }
    }

    void operator()(const ir::Refusal &refusal) { output_text(refusal.text); }

    void operator()(const ir::Reasoning &reasoning) {
        bool is_foreign = reasoning.origin != DialectId::gemini;
        bool has_text = !reasoning.text.empty();
        JsonText opaque = reasoning.is_redacted ? reasoning.redacted : reasoning.signature;
        JsonText signature =
            signature_for_client(reasoning.origin, opaque, reasoning.is_redacted, arena_);
        bool is_with_text = is_foreign && has_text && view_.show_reasoning;
        if (has_text && view_.show_reasoning) {
            flush();
            writer_.object().key("text").text(reasoning.text).key("thought").boolean(true);
            if (is_with_text && !signature.empty()) {
                writer_.key("thoughtSignature").text(signature);
            }
            writer_.end();
        }
        if (!is_with_text && !signature.empty() && stands_alone(reasoning.origin, has_text)) {
            flush();
            signature_ = signature;
        }
    }

    void operator()(const ir::ToolCall &call) {
        if (view_.json_tool && json::equals(call.name, kJsonTool)) {
            output_text(json::escape(call.arguments, arena_));
            return;
        }
        writer_.object().key("functionCall").object();
        if (!call.id.empty()) {
            writer_.key("id").text(call.id);
        }
        writer_.key("name").text(tool_name_for_client(call.name, view_.renamed));
        writer_.key("args").raw(arguments_as_object(call.arguments, arena_)).end();
        sign();
        writer_.end();
    }

    void operator()(const ir::Image &image) {
        if (image.source.kind == ir::SourceKind::base64) {
            blob(image.source.mime, image.source.data);
        }
    }

    void operator()(const ir::Audio &audio) {
        std::string mime("audio/");
        mime.append(audio.format.empty() ? std::string_view("wav") : audio.format.bytes);
        blob({mime}, audio.data);
    }

    void operator()(const ir::Document &document) {
        if (document.source.kind == ir::SourceKind::base64) {
            blob(document.source.mime, document.source.data);
        }
    }

    void operator()(const ir::Opaque &opaque) {
        if (opaque.dialect == DialectId::gemini && !opaque.json.empty()) {
            flush();
            writer_.raw(opaque.json);
        }
    }

    void operator()(const ir::ToolResult &) {}  // nothing that a model answers

    // A signature that nothing followed.
    void flush() {
        if (!signature_.empty()) {
            writer_.object().key("text").plain("");
            sign();
            writer_.end();
        }
    }

  private:
    void sign() {
        if (!signature_.empty()) {
            writer_.key("thoughtSignature").text(signature_);
            signature_ = {};
        }
    }

    void output_text(JsonText text) {
        if (text.empty()) {
            return;
        }
        flush();
        writer_.object().key("text").text(text).end();
        grounding.open_text();
        grounding.text(text);
    }

    void blob(JsonText mime, JsonText data) {
        flush();
        writer_.object().key("inlineData").object().key("mimeType");
        writer_.text(mime.empty() ? JsonText{"image/png"} : mime);
        writer_.key("data").text(data).end().end();
    }

    const ClientView &view_;
    Arena &arena_;
    json::Writer &writer_;
    JsonText signature_;  // waits for the part that it goes on
};

}  // namespace

void render_response(const ir::Response &response, const ClientView &view, Arena &arena,
                     json::Writer &writer) {
    json::Reader reader;
    int64_t index = 0;
    writer.object().key("candidates").array();
    for (const ir::Choice &choice : response.choices) {
        PartsWriter parts(view, arena, writer);
        writer.object().key("content").object().key("parts").array();
        for (const ir::Part &part : choice.parts) {
            std::visit(parts, part.is);
        }
        parts.flush();
        writer.end().key("role").plain("model").end();
        writer.key("finishReason").plain(finish_name(choice.finish));
        writer.key("index").number(index++);
        if (!parts.grounding.empty()) {
            writer.key("groundingMetadata");
            parts.grounding.write(writer);
        }
        if (!choice.logprobs.empty()) {
            write_logprobs(choice.logprobs, reader, writer);
        }
        writer.end();
    }
    writer.end();
    if (response.usage.known) {
        writer.key("usageMetadata");
        write_usage(response.usage, writer);
    }
    writer.key("modelVersion");
    if (response.model.empty()) {
        writer.plain(view.model);
    } else {
        writer.text(response.model);
    }
    writer.key("responseId");
    if (response.id.empty()) {
        write_answer_id(view, writer);
    } else {
        writer.text(response.id);
    }
    writer.end();
}

bool observe_response(Value root, Usage &usage, JsonText &model, JsonText &finish) {
    if (root.is_array() && root.size() > 0) {
        root = *root.items().begin();
    }
    Value blocked = root["promptFeedback"]["blockReason"];
    Value candidates = root.find("candidates");
    if (!candidates.is_array() && !root.find("promptFeedback").is_object()) {
        return false;
    }
    RawUsage raw;
    raw.merge(root.find("usageMetadata"));
    usage = raw.to_usage();
    model = root.find("modelVersion").text();
    finish = blocked.text();
    if (candidates.size() > 0) {
        finish = (*candidates.items().begin()).find("finishReason").text();
    }
    return true;
}

}  // namespace llm::gemini
