// Request::system and Request::turns -> the messages of an /api/chat request.
//
// Entry point: render_messages. A message has one string for all of its text, and its images beside
// it as bare base64. Results follow the turn that made the calls, one tool message for each call
// in the order of the calls, under the name of the tool: older servers know no ids, newer ones
// get them as well.
#include "translators/dialect/chat_messages.hpp"
#include "translators/dialect/media.hpp"
#include "translators/dialect/ollama_render.hpp"
#include "translators/dialect/render_hints.hpp"
#include "translators/dialect/tool_arguments.hpp"

namespace llm::ollama {

namespace {

// One user turn or one tool result.
struct Content {
    std::vector<const ir::Part *> texts;
    std::vector<JsonText> images;  // base64
};

class MessagesWriter final : public ChatMessages {
  public:
    explicit MessagesWriter(const RenderJob &job) : ChatMessages(job) {}

  private:
    Status write_user(const ir::Turn &turn) override;
    void write_assistant(const ir::Turn &turn) override;
    Status write_result(const AnsweredCall &answered) override;

    void write_call(const ir::ToolCall &call);
    Status sort(const std::vector<ir::Part> &parts, Content &content);
    Status sort_document(const ir::Part &part, const ir::Document &document, Content &content);
    Status sort_image(const ir::Image &image, Content &content);
    void write_texts(const Content &content);
    void write_images(const Content &content);
};

// --- content --------------------------------------------------------------------------------

// Sorts parts by the form they take, and refuses (or leaves out) what has none.
Status MessagesWriter::sort(const std::vector<ir::Part> &parts, Content &content) {
    for (const ir::Part &part : parts) {
        if (const auto *document = std::get_if<ir::Document>(&part.is)) {
            LLM_TRY(sort_document(part, *document, content));
        } else if (const auto *image = std::get_if<ir::Image>(&part.is)) {
            LLM_TRY(sort_image(*image, content));
        } else if (std::holds_alternative<ir::Audio>(part.is)) {
            LLM_TRY(job_.leave_out("the target hears no audio", "input_audio"));
        } else if (PartText::has_text(part)) {
            content.texts.push_back(&part);
        } else if (const auto *opaque = std::get_if<ir::Opaque>(&part.is)) {
            LLM_TRY(leave_out(*opaque));
        }
        if (const auto *text = std::get_if<ir::Text>(&part.is)) {
            job_.note_cache(text->cache);
        }
    }
    return {};
}

Status MessagesWriter::sort_document(const ir::Part &part, const ir::Document &document,
                                     Content &content) {
    job_.note_cache(document.cache);
    if (!is_text_document(part, document)) {
        return job_.leave_out("the target reads no files", file_name(request_.dialect));
    }
    if (is_cited(document)) {
        job_.note("citations");
    }
    content.texts.push_back(&part);
    return {};
}

Status MessagesWriter::sort_image(const ir::Image &image, Content &content) {
    job_.note_cache(image.cache);
    if (!image.detail.empty() && !json::equals(image.detail, "auto")) {
        job_.note("detail");
    }
    ir::Source source = resolve_source(image.source, job_.arena);
    bool can_say = source.kind == ir::SourceKind::base64 && source.mime.empty();
    for (std::string_view mime : {"image/png", "image/jpeg", "image/webp"}) {
        can_say =
            can_say || (source.kind == ir::SourceKind::base64 && json::equals(source.mime, mime));
    }
    if (!can_say) {
        bool is_id = source.kind == ir::SourceKind::file_id;
        return job_.leave_out("the target takes the bytes of png, jpeg and webp images only",
                              is_id ? "image.file_id" : "image_url");
    }
    content.images.push_back(source.data);
    return {};
}

// The value of `content`: texts as one string.
void MessagesWriter::write_texts(const Content &content) {
    bool is_first = true;
    for (const ir::Part *part : content.texts) {
        if (!is_first) {
            writer_.piece(JsonText{"\\n"});
        }
        is_first = false;
        write_text(*part);
    }
}

void MessagesWriter::write_images(const Content &content) {
    if (content.images.empty()) {
        return;
    }
    writer_.key("images").array();
    for (JsonText image : content.images) {
        writer_.text(image);
    }
    writer_.end();
}

// --- turns ----------------------------------------------------------------------------------

Status MessagesWriter::write_user(const ir::Turn &turn) {
    Content content;
    LLM_TRY(sort(turn.parts, content));
    if (!has_message(turn)) {
        return {};
    }
    writer_.object().key("role").plain("user").key("content");
    if (content.texts.empty() && content.images.empty()) {
        writer_.plain("(empty)");
    } else {
        writer_.open_text();
        write_texts(content);
        writer_.close_text();
    }
    write_images(content);
    writer_.end();
    return {};
}

// Thoughts go back as text, whoever had them: a signature is nothing to this server.
void MessagesWriter::write_assistant(const ir::Turn &turn) {
    auto [has_text, has_calls, has_thoughts] = look_at(turn);
    for (const ir::Part &part : turn.parts) {
        const auto *reasoning = std::get_if<ir::Reasoning>(&part.is);
        if (reasoning != nullptr && reasoning->text.empty() && says_anything(*reasoning)) {
            job_.note(thoughts_name(request_.dialect));
        }
    }
    if (!has_text && !has_calls) {
        return;
    }
    writer_.object().key("role").plain("assistant").key("content").open_text();
    write_spoken(turn);
    writer_.close_text();
    if (has_thoughts) {
        writer_.key("thinking").open_text();
        for (const ir::Part &part : turn.parts) {
            if (const auto *reasoning = std::get_if<ir::Reasoning>(&part.is)) {
                writer_.piece(reasoning->text);
            }
        }
        writer_.close_text();
    }
    if (has_calls) {
        writer_.key("tool_calls").array();
        for (const ir::Part &part : turn.parts) {
            if (const auto *call = std::get_if<ir::ToolCall>(&part.is)) {
                write_call(*call);
            }
        }
        writer_.end();
    }
    writer_.end();
}

void MessagesWriter::write_call(const ir::ToolCall &call) {
    job_.note_cache(call.cache);
    writer_.object();
    if (!call.id.empty()) {
        writer_.key("id").text(call.id);
    }
    std::string_view arguments = function_arguments(call, job_.arena);
    writer_.key("function").object().key("name").text(call.name);
    writer_.key("arguments").raw(arguments_as_object(arguments, job_.arena)).end().end();
}

// --- results --------------------------------------------------------------------------------

Status MessagesWriter::write_result(const AnsweredCall &answered) {
    Content content;
    if (answered.result != nullptr) {
        LLM_TRY(sort(answered.result->parts, content));
    }
    writer_.object().key("role").plain("tool").key("content").open_text();
    if (answered.result == nullptr) {
        writer_.piece(JsonText{"Error: [no result]"});
    } else {
        write_error_mark(*answered.result, content.texts.empty() ? nullptr : content.texts[0]);
        write_texts(content);
    }
    writer_.close_text();
    write_images(content);
    writer_.key("tool_name").text(answered.call->name);
    if (!answered.call->id.empty()) {
        writer_.key("tool_call_id").text(answered.call->id);
    }
    writer_.end();
    return {};
}

}  // namespace

Status render_messages(const RenderJob &job) {
    return MessagesWriter(job).write();
}

}  // namespace llm::ollama
