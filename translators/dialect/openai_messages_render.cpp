// Request::system and Request::turns -> the messages of a chat request.
//
// Entry point: render_messages. The order rules of api.openai.com hold for whatever came in: the
// results of an assistant turn's calls follow it at once, one tool message for each call, in the
// order of the calls; a missing result is made up, one without a call is left out, of several for
// one call the last counts. Images and files in results cannot stand in a tool message: they go
// into one user message behind the run. The same conversation gives the same bytes every time.
#include <algorithm>

#include "translators/dialect/function_tools.hpp"
#include "translators/dialect/media.hpp"
#include "translators/dialect/openai_render.hpp"
#include "translators/dialect/reasoning_details.hpp"
#include "translators/dialect/render_hints.hpp"
#include "translators/dialect/turn_walk.hpp"

namespace llm::openai {

namespace {

// One user turn or one tool result: what of it becomes text, and what an own content part.
struct Content {
    std::vector<const ir::Part *> texts;
    std::vector<const ir::Part *> media;
    std::vector<const ir::Part *> all;
};

class MessagesWriter {
  public:
    explicit MessagesWriter(const RenderJob &job)
        : job_(job), request_(job.request), writer_(job.writer) {}

    Status write();

    // For walk_turns.
    void system(const Texts &texts);
    Result<size_t> user(size_t first);
    Status assistant(const ir::Turn &turn);
    Status results(const Step &step);

  private:
    size_t end_of_users(size_t first) const;
    void write_continuation(const ir::Turn &turn);
    Status write_call(const ir::ToolCall &call);
    void note_thoughts(const ir::Turn &turn);
    void write_reasoning(const ir::Turn &turn, bool has_calls);
    void write_thinking_parts(const ir::Turn &turn);
    JsonText call_id(JsonText id) {
        return job_.target.traits.mistral ? call_id_for_mistral(id, job_.arena)
                                          : call_id_for_openai(id, job_.arena);
    }
    Status write_result(const ir::ToolCall &call, const ir::ToolResult *result,
                        std::vector<const ir::Part *> &media);
    Status sort(const std::vector<ir::Part> &parts, Content &content);
    static bool has_text(const ir::Part &part) { return PartText::has_text(part); }
    void write_text(const ir::Part &part) { text_.write(part, writer_); }
    void write_media(const ir::Part &part);
    void note_document(const ir::Document &document);
    void paragraph(bool &is_first) {
        if (!is_first) {
            writer_.piece(kParagraph);
        }
        is_first = false;
    }

    const RenderJob &job_;
    const ir::Request &request_;
    json::Writer &writer_;
    json::Reader reader_;  // for members that only their raw JSON describes
    PartText text_;
};

Status MessagesWriter::write() {
    writer_.array();
    system(texts_of(request_.system));
    LLM_TRY(walk_turns(job_, *this));
    writer_.end();
    return {};
}

// Several blocks become one message: some chat templates take only one system message.
void MessagesWriter::system(const Texts &texts) {
    if (!llm::has_text(texts)) {
        return;
    }
    std::string_view role = job_.target.traits.developer_role ? "developer" : "system";
    writer_.object().key("role").plain(role).key("content").open_text();
    write_paragraphs(texts, job_);
    writer_.close_text().end();
}

// --- content --------------------------------------------------------------------------------

void MessagesWriter::note_document(const ir::Document &document) {
    job_.note_cache(document.cache);
    bool is_text = document.source.kind == ir::SourceKind::text ||
                   document.source.kind == ir::SourceKind::blocks;
    if (!document.context.empty() && !is_text) {
        job_.note("context");
    }
    Result<json::Value> citations = reader_.parse_unpadded(document.citations.bytes);
    if (citations && citations.value()["enabled"].is_true()) {
        job_.note("citations");
    }
}

// Sorts parts by the form they take, and refuses (or leaves out) what has none.
Status MessagesWriter::sort(const std::vector<ir::Part> &parts, Content &content) {
    for (const ir::Part &part : parts) {
        if (const auto *text = std::get_if<ir::Text>(&part.is)) {
            job_.note_cache(text->cache);
            if (text->text.empty()) {
                continue;
            }
        } else if (const auto *document = std::get_if<ir::Document>(&part.is)) {
            note_document(*document);
        }
        if (has_text(part)) {
            content.texts.push_back(&part);
            content.all.push_back(&part);
            continue;
        }
        bool can_say = false;
        std::string_view name = "content";
        if (const auto *image = std::get_if<ir::Image>(&part.is)) {
            job_.note_cache(image->cache);
            can_say = image->source.kind == ir::SourceKind::base64 ||
                      image->source.kind == ir::SourceKind::url;
            name = "image.file_id";
        } else if (const auto *document = std::get_if<ir::Document>(&part.is)) {
            can_say = document->source.kind == ir::SourceKind::base64 ||
                      (document->source.kind == ir::SourceKind::file_id &&
                       request_.dialect == DialectId::openai);
            name =
                document->source.kind == ir::SourceKind::url ? "document.url" : "document.file_id";
        } else if (const auto *opaque = std::get_if<ir::Opaque>(&part.is)) {
            can_say = opaque->dialect == DialectId::openai;
            name = opaque->type.bytes;
        } else {
            can_say = std::holds_alternative<ir::Audio>(part.is);
        }
        if (std::holds_alternative<ir::ToolResult>(part.is)) {
            continue;  // written behind the turn that made the call
        }
        if (!can_say) {
            LLM_TRY(job_.leave_out("chat completions have no such content", name));
            continue;
        }
        content.media.push_back(&part);
        content.all.push_back(&part);
    }
    return {};
}

// One content part that is not text.
void MessagesWriter::write_media(const ir::Part &part) {
    if (const auto *image = std::get_if<ir::Image>(&part.is)) {
        JsonText url = image->source.data;
        if (image->source.kind == ir::SourceKind::base64) {
            JsonText mime = trusted_mime(image->source.mime, image->source.data);
            url = make_data_url(mime.empty() ? JsonText{"image/png"} : mime, image->source.data,
                                job_.arena);
        }
        writer_.object().key("type").plain("image_url").key("image_url").object();
        writer_.key("url").text(url);
        if (!image->detail.empty()) {
            writer_.key("detail").text(image->detail);
        }
        writer_.end().end();
    } else if (const auto *document = std::get_if<ir::Document>(&part.is)) {
        writer_.object().key("type").plain("file").key("file").object();
        if (document->source.kind == ir::SourceKind::file_id) {
            writer_.key("file_id").text(document->source.data);
        } else {
            JsonText mime = trusted_mime(document->source.mime, document->source.data);
            writer_.key("filename");
            writer_.text(document->title.empty() ? JsonText{"document.pdf"} : document->title);
            writer_.key("file_data")
                .text(make_data_url(mime.empty() ? JsonText{"application/pdf"} : mime,
                                    document->source.data, job_.arena));
        }
        writer_.end().end();
    } else if (const auto *audio = std::get_if<ir::Audio>(&part.is)) {
        writer_.object().key("type").plain("input_audio").key("input_audio").object();
        writer_.key("data").text(audio->data).key("format").text(audio->format);
        writer_.end().end();
    } else if (const auto *opaque = std::get_if<ir::Opaque>(&part.is)) {
        writer_.raw(opaque->json);
    }
}

// --- turns ----------------------------------------------------------------------------------

// Behind the user turns that become one message: some services want user and assistant in turns.
size_t MessagesWriter::end_of_users(size_t first) const {
    size_t end = first + 1;
    if (job_.target.traits.mistral || job_.target.traits.user_last) {
        while (end < request_.turns.size() && request_.turns[end].role == ir::Role::user) {
            ++end;
        }
    }
    return end;
}

Result<size_t> MessagesWriter::user(size_t first) {
    size_t end = end_of_users(first);
    Content content;
    bool has_other = false;
    for (size_t i = first; i < end; ++i) {
        const std::vector<ir::Part> &parts = request_.turns[i].parts;
        LLM_TRY(sort(parts, content));
        has_other = has_other || parts.empty();
        for (const ir::Part &part : parts) {
            has_other = has_other || !std::holds_alternative<ir::ToolResult>(part.is);
        }
    }
    if (!has_other) {
        return end;
    }
    if (job_.target.traits.string_content && !content.media.empty()) {
        LLM_TRY(job_.leave_out("this service takes nothing but text", "content"));
        content.all = content.texts;
        content.media.clear();
    }
    writer_.object().key("role").plain("user").key("content");
    if (content.all.empty()) {
        writer_.plain("(empty)");
    } else if (content.media.empty()) {
        // A plain string where it is possible: several imitators take nothing else.
        writer_.open_text();
        bool is_first = true;
        for (const ir::Part *part : content.texts) {
            paragraph(is_first);
            write_text(*part);
        }
        writer_.close_text();
    } else {
        writer_.array();
        for (const ir::Part *part : content.all) {
            if (has_text(*part)) {
                writer_.object().key("type").plain("text").key("text").open_text();
                write_text(*part);
                writer_.close_text().end();
            } else {
                write_media(*part);
            }
        }
        writer_.end();
    }
    writer_.end();
    return end;
}

// In place of a last assistant turn that nobody would continue; only with drop_params.
void MessagesWriter::write_continuation(const ir::Turn &turn) {
    writer_.object().key("role").plain("user").key("content").open_text();
    writer_.piece_plain("Continue exactly from: ");
    for (const ir::Part &part : turn.parts) {
        if (!std::holds_alternative<ir::Opaque>(part.is) && has_text(part)) {
            write_text(part);
        }
    }
    writer_.close_text().end();
}

Status MessagesWriter::assistant(const ir::Turn &turn) {
    bool is_last = &turn == &request_.turns.back();
    const ModelTraits &traits = job_.target.traits;
    note_thoughts(turn);
    bool has_text_parts = false;
    bool has_calls = false;
    const ir::Opaque *audio = nullptr;
    for (const ir::Part &part : turn.parts) {
        has_calls = has_calls || std::holds_alternative<ir::ToolCall>(part.is);
        if (const auto *opaque = std::get_if<ir::Opaque>(&part.is)) {
            if (opaque->dialect == DialectId::openai && json::equals(opaque->type, "audio")) {
                audio = opaque;
            } else {
                // Blocks of tools that the provider ran: their outcome is in the text around.
                job_.note(opaque->type.bytes);
            }
        } else if (has_text(part)) {
            has_text_parts = true;
        }
    }
    if (!has_text_parts && !has_calls && audio == nullptr) {
        return {};
    }
    if (is_last && !has_calls && traits.user_last) {
        write_continuation(turn);
        return {};
    }
    bool has_thinking = traits.mistral && traits.wants_reasoning_content &&
                        std::any_of(turn.parts.begin(), turn.parts.end(), [](const auto &part) {
                            const auto *reasoning = std::get_if<ir::Reasoning>(&part.is);
                            return reasoning != nullptr && !reasoning->text.empty();
                        });
    writer_.object().key("role").plain("assistant").key("content");
    if (has_thinking) {
        write_thinking_parts(turn);
    } else if (has_text_parts) {
        // Nothing between the blocks: they may be one sentence, cut where a citation ends.
        writer_.open_text();
        for (const ir::Part &part : turn.parts) {
            if (!std::holds_alternative<ir::Opaque>(part.is) && has_text(part)) {
                write_text(part);
            }
        }
        writer_.close_text();
    } else if (traits.mistral || traits.string_content) {
        writer_.plain("");
    } else {
        writer_.null();
    }
    if (traits.wants_reasoning_content && !traits.mistral) {
        write_reasoning(turn, has_calls);
    }
    if (traits.reasoning_details) {
        write_details(turn, reader_, job_.arena, writer_);
    }
    if (is_last && !has_calls && traits.mistral) {
        writer_.key("prefix").boolean(true);  // else it is a mistake to them
    }
    if (audio != nullptr) {
        writer_.key("audio").raw(audio->json);
    }
    if (has_calls) {
        writer_.key("tool_calls").array();
    }
    for (const ir::Part &part : turn.parts) {
        if (const auto *call = std::get_if<ir::ToolCall>(&part.is)) {
            LLM_TRY(write_call(*call));
        } else if (const auto *text = std::get_if<ir::Text>(&part.is)) {
            job_.note_cache(text->cache);
        }
    }
    if (has_calls) {
        writer_.end();
    }
    writer_.end();
    return {};
}

// What of a turn's thoughts this service does not take back.
void MessagesWriter::note_thoughts(const ir::Turn &turn) {
    const ModelTraits &traits = job_.target.traits;
    for (const ir::Part &part : turn.parts) {
        const auto *reasoning = std::get_if<ir::Reasoning>(&part.is);
        bool is_sent =
            traits.reasoning_details ||
            (traits.wants_reasoning_content && reasoning != nullptr && !reasoning->text.empty());
        if (reasoning != nullptr && !is_sent && says_anything(*reasoning)) {
            job_.note(thoughts_name(job_.request.dialect));
        }
    }
}

// Services that want reasoning back check that the member is there on turns with calls, so a
// space stands for reasoning that is not known any more.
void MessagesWriter::write_reasoning(const ir::Turn &turn, bool has_calls) {
    bool is_open = false;
    for (const ir::Part &part : turn.parts) {
        const auto *reasoning = std::get_if<ir::Reasoning>(&part.is);
        if (reasoning == nullptr || reasoning->text.empty()) {
            continue;
        }
        if (!is_open) {
            writer_.key("reasoning_content").open_text();
        }
        is_open = true;
        writer_.piece(reasoning->text);
    }
    if (is_open) {
        writer_.close_text();
    } else if (has_calls) {
        writer_.key("reasoning_content").plain(" ");
    }
}

// As Mistral gives them: content in parts, thoughts among them.
void MessagesWriter::write_thinking_parts(const ir::Turn &turn) {
    writer_.array();
    for (const ir::Part &part : turn.parts) {
        const auto *reasoning = std::get_if<ir::Reasoning>(&part.is);
        if (reasoning != nullptr && !reasoning->text.empty()) {
            writer_.object().key("type").plain("thinking").key("thinking").array();
            writer_.object().key("type").plain("text").key("text").text(reasoning->text).end();
            writer_.end().end();
        } else if (!std::holds_alternative<ir::Opaque>(part.is) && has_text(part)) {
            writer_.object().key("type").plain("text").key("text").open_text();
            write_text(part);
            writer_.close_text().end();
        }
    }
    writer_.end();
}

Status MessagesWriter::write_call(const ir::ToolCall &call) {
    job_.note_cache(call.cache);
    if (job_.notes.renamed.size() > kMaxRenamed) {
        return invalid("too many tools with unusable names", "messages");
    }
    JsonText name = tool_name_for_target(call.name, job_.notes.renamed, job_.arena);
    writer_.object().key("id").text(call_id(call.id));
    if (call.custom && knows_custom_tools(job_)) {
        writer_.key("type").plain("custom").key("custom").object();
        writer_.key("name").text(name).key("input").plain(call.arguments);
    } else {
        writer_.key("type").plain("function").key("function").object();
        writer_.key("name").text(name);
        writer_.key("arguments").plain(function_arguments(call, job_.arena));
    }
    writer_.end().end();
    return {};
}

// --- results --------------------------------------------------------------------------------

Status MessagesWriter::results(const Step &step) {
    for (const ir::ToolResult *result : step.results) {
        job_.note_cache(result->cache);
    }
    if (!step.strays.empty() || step.has_replaced) {
        job_.note("tool_result");
    }
    std::vector<const ir::Part *> media;
    for (const AnsweredCall &answered : step.calls) {
        LLM_TRY(write_result(*answered.call, answered.result, media));
    }
    if (!media.empty() && (job_.target.traits.mistral || job_.target.traits.string_content)) {
        // No user message may follow at Mistral, and the tool message takes text only.
        return job_.leave_out("this service takes no images or files in tool results",
                              "tool_result");
    }
    if (!media.empty()) {
        writer_.object().key("role").plain("user").key("content").array();
        for (const ir::Part *part : media) {
            write_media(*part);
        }
        writer_.end().end();
    }
    return {};
}

Status MessagesWriter::write_result(const ir::ToolCall &call, const ir::ToolResult *result,
                                    std::vector<const ir::Part *> &media) {
    Content content;
    if (result != nullptr) {
        LLM_TRY(sort(result->parts, content));
    }
    writer_.object().key("role").plain("tool");
    writer_.key("tool_call_id").text(call_id(call.id));
    writer_.key("content").open_text();
    if (result == nullptr) {
        writer_.piece(JsonText{"Error: [no result]"});
    } else {
        const ir::Text *first =
            content.texts.empty() ? nullptr : std::get_if<ir::Text>(&content.texts[0]->is);
        if (result->is_error && (first == nullptr || !says_error(first->text))) {
            writer_.piece(JsonText{"Error: "});
        }
        bool is_first = true;
        for (const ir::Part *part : content.all) {
            paragraph(is_first);
            if (has_text(*part)) {
                write_text(*part);
                continue;
            }
            bool is_image = std::holds_alternative<ir::Image>(part->is);
            writer_.piece(JsonText{is_image ? "[image: see the following user message]"
                                            : "[file: see the following user message]"});
            media.push_back(part);
        }
    }
    writer_.close_text().end();
    return {};
}

}  // namespace

Status render_messages(const RenderJob &job) {
    return MessagesWriter(job).write();
}

}  // namespace llm::openai
