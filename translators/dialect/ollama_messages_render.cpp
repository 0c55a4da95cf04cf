// Request::system and Request::turns -> the messages of an /api/chat request.
//
// Entry point: render_messages. A message has one string for all of its text, and its images beside
// it as bare base64. Results follow the turn that made the calls, one tool message for each call
// in the order of the calls, under the name of the tool: older servers know no ids, newer ones
// get them as well.
#include "translators/dialect/function_tools.hpp"
#include "translators/dialect/media.hpp"
#include "translators/dialect/ollama_render.hpp"
#include "translators/dialect/render_hints.hpp"
#include "translators/dialect/render_parts.hpp"
#include "translators/dialect/tool_arguments.hpp"

namespace llm::ollama {

namespace {

// One user turn or one tool result.
struct Content {
    std::vector<const ir::Part *> texts;
    std::vector<JsonText> images;  // base64
};

class MessagesWriter {
  public:
    explicit MessagesWriter(const RenderJob &job)
        : job_(job), request_(job.request), writer_(job.writer) {}

    Status write();

  private:
    void write_system(const std::vector<const ir::Text *> &texts);
    Status write_user(const ir::Turn &turn);
    void write_assistant(const ir::Turn &turn);
    void write_call(const ir::ToolCall &call);
    Status write_results(size_t assistant);
    Status write_result(const AnsweredCall &answered);

    Status sort(const std::vector<ir::Part> &parts, Content &content);
    Status sort_document(const ir::Part &part, const ir::Document &document, Content &content);
    Status sort_image(const ir::Image &image, Content &content);
    void write_texts(const Content &content);
    void write_text(const ir::Part &part);
    void write_images(const Content &content);
    void note_cache(RawJson mark) {
        if (!mark.empty()) {
            job_.note("cache_control");
        }
    }

    const RenderJob &job_;
    const ir::Request &request_;
    json::Writer &writer_;
    json::Reader reader_;
    PartText text_;
};

Status MessagesWriter::write() {
    writer_.array();
    std::vector<const ir::Text *> texts;
    for (const ir::Text &text : request_.system) {
        texts.push_back(&text);
    }
    write_system(texts);
    const std::vector<ir::Turn> &turns = request_.turns;
    if (!turns.empty() && turns[0].role != ir::Role::assistant) {
        LLM_TRY(write_results(turns.size()));
    }
    for (size_t i = 0; i < turns.size(); ++i) {
        switch (turns[i].role) {
            case ir::Role::system:
                texts.clear();
                for (const ir::Part &part : turns[i].parts) {
                    if (const auto *text = std::get_if<ir::Text>(&part.is)) {
                        texts.push_back(text);
                    }
                }
                write_system(texts);
                break;
            case ir::Role::user:
                LLM_TRY(write_user(turns[i]));
                break;
            case ir::Role::assistant:
                write_assistant(turns[i]);
                LLM_TRY(write_results(i));
                break;
        }
    }
    writer_.end();
    return {};
}

void MessagesWriter::write_system(const std::vector<const ir::Text *> &texts) {
    bool is_first = true;
    for (const ir::Text *text : texts) {
        note_cache(text->cache);
        if (text->text.empty()) {
            continue;
        }
        if (is_first) {
            writer_.object().key("role").plain("system").key("content").open_text();
        } else {
            writer_.piece(kParagraph);
        }
        is_first = false;
        writer_.piece(text->text);
    }
    if (!is_first) {
        writer_.close_text().end();
    }
}

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
            std::string_view name = json::unescape(opaque->type, job_.arena);
            LLM_TRY(
                job_.leave_out("the target has no such content", name.empty() ? "content" : name));
        }
        if (const auto *text = std::get_if<ir::Text>(&part.is)) {
            note_cache(text->cache);
        }
    }
    return {};
}

Status MessagesWriter::sort_document(const ir::Part &part, const ir::Document &document,
                                     Content &content) {
    note_cache(document.cache);
    ir::Source source = resolve_source(document.source, job_.arena);
    bool is_text = PartText::has_text(part) ||
                   (source.kind == ir::SourceKind::base64 && is_text_mime(source.mime));
    if (!is_text) {
        return job_.leave_out("the target reads no files", file_name(request_.dialect));
    }
    Result<json::Value> citations = reader_.parse_unpadded(document.citations.bytes);
    if (citations && (*citations)["enabled"].is_true()) {
        job_.note("citations");
    }
    content.texts.push_back(&part);
    return {};
}

Status MessagesWriter::sort_image(const ir::Image &image, Content &content) {
    note_cache(image.cache);
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

// The text of one part, into an open string.
void MessagesWriter::write_text(const ir::Part &part) {
    const auto *document = std::get_if<ir::Document>(&part.is);
    if (document == nullptr || PartText::has_text(part)) {
        text_.write(part, writer_);
        return;
    }
    ir::Document decoded = *document;
    decoded.source.kind = ir::SourceKind::text;
    decoded.source.data =
        decode_base64_text(resolve_source(document->source, job_.arena).data, job_.arena);
    text_.write({decoded}, writer_);
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
    bool has_other = turn.parts.empty();
    for (const ir::Part &part : turn.parts) {
        has_other = has_other || !std::holds_alternative<ir::ToolResult>(part.is);
    }
    if (!has_other) {
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
    bool has_text = false;
    bool has_calls = false;
    bool has_thoughts = false;
    for (const ir::Part &part : turn.parts) {
        has_calls = has_calls || std::holds_alternative<ir::ToolCall>(part.is);
        if (const auto *reasoning = std::get_if<ir::Reasoning>(&part.is)) {
            has_thoughts = has_thoughts || !reasoning->text.empty();
        } else if (const auto *opaque = std::get_if<ir::Opaque>(&part.is)) {
            // Blocks of tools that another provider ran: their outcome is in the text around.
            job_.note(json::unescape(opaque->type, job_.arena));
        } else {
            has_text = has_text || PartText::has_text(part);
        }
        if (const auto *text = std::get_if<ir::Text>(&part.is)) {
            note_cache(text->cache);
        }
    }
    if (!has_text && !has_calls) {
        return;
    }
    writer_.object().key("role").plain("assistant").key("content").open_text();
    for (const ir::Part &part : turn.parts) {
        // Nothing between the blocks: they may be one sentence, cut where a citation ends.
        if (!std::holds_alternative<ir::Opaque>(part.is) && PartText::has_text(part)) {
            write_text(part);
        }
    }
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
    note_cache(call.cache);
    writer_.object();
    if (!call.id.empty()) {
        writer_.key("id").text(call.id);
    }
    std::string_view arguments = function_arguments(call, job_.arena);
    writer_.key("function").object().key("name").text(call.name);
    writer_.key("arguments").raw(arguments_as_object(arguments, job_.arena)).end().end();
}

// --- results --------------------------------------------------------------------------------

// The results of one assistant turn's calls; see match_results for `assistant`.
Status MessagesWriter::write_results(size_t assistant) {
    Step step = match_results(request_.turns, assistant, job_.arena);
    for (const ir::ToolResult *result : step.results) {
        note_cache(result->cache);
    }
    if (!step.strays.empty()) {
        job_.note("tool_result");
    }
    for (const AnsweredCall &answered : step.calls) {
        LLM_TRY(write_result(answered));
    }
    return {};
}

Status MessagesWriter::write_result(const AnsweredCall &answered) {
    Content content;
    if (answered.result != nullptr) {
        LLM_TRY(sort(answered.result->parts, content));
    }
    writer_.object().key("role").plain("tool").key("content").open_text();
    if (answered.result == nullptr) {
        writer_.piece(JsonText{"Error: [no result]"});
    } else {
        const ir::Text *first =
            content.texts.empty() ? nullptr : std::get_if<ir::Text>(&content.texts[0]->is);
        if (answered.result->is_error && (first == nullptr || !says_error(first->text))) {
            writer_.piece(JsonText{"Error: "});
        }
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
