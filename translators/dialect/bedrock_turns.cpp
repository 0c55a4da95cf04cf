// The conversation as Converse wants it. It is put in order by the rules of the messages API, which
// are the same (roles alternate, all results of a step stand in the next user message, nothing is
// blank); what is written differs: a block is an object with one member, cache marks are blocks of
// their own, files have names that are unique in the request, media come as bytes.
#include "translators/core/base64.hpp"
#include "translators/dialect/bedrock_render.hpp"
#include "translators/dialect/media.hpp"
#include "translators/dialect/tool_arguments.hpp"

namespace llm::bedrock {

namespace {

using anthropic::Block;
using anthropic::cache_of;
using anthropic::History;
using anthropic::Message;
using anthropic::text_of;
using ir::Part;
using ir::Role;
using ir::SourceKind;
using What = Block::What;

bool is_s3(const ir::Source &source) {
    return source.kind == SourceKind::url && source.data.bytes.starts_with("s3:");
}

bool is_search_result(const ir::Opaque &opaque) {
    return opaque.dialect == DialectId::anthropic && json::equals(opaque.type, "search_result");
}

bool can_send(const ir::Image &image, Arena &arena) {
    ir::Source source = resolve_source(image.source, arena);
    bool is_bytes = source.kind == SourceKind::base64;
    return (is_bytes && !image_format(source.mime).empty()) || is_s3(source);
}

bool can_send(const ir::Document &document, const Target &target, Arena &arena) {
    ir::Source source = resolve_source(document.source, arena);
    if (source.kind == SourceKind::text || source.kind == SourceKind::blocks) {
        return true;
    }
    bool has_format = !document_format(source.mime).empty() ||
                      (target.traits.nova && !video_format(source.mime).empty());
    return has_format && (source.kind == SourceKind::base64 || is_s3(source));
}

// The parameter to blame when the part cannot be sent; empty when it can.
std::string_view unsupported_part(const Part &part, Role role, DialectId, const Target &target,
                                  Arena &arena) {
    bool is_user = role == Role::user;
    if (std::holds_alternative<ir::Audio>(part.is)) {
        return "input_audio";
    }
    if (const ir::Image *image = std::get_if<ir::Image>(&part.is)) {
        return is_user && can_send(*image, arena) ? std::string_view() : "image_url";
    }
    if (const ir::Document *document = std::get_if<ir::Document>(&part.is)) {
        return is_user && can_send(*document, target, arena) ? std::string_view() : "file";
    }
    if (const ir::Opaque *opaque = std::get_if<ir::Opaque>(&part.is)) {
        return is_search_result(*opaque) && is_user ? std::string_view() : "messages.content";
    }
    return {};
}

// The mark of a block: its own, or one inside of it, where no block of a mark may stand.
RawJson mark_of(const Block &block) {
    if (!block.cache.empty() || block.what != What::part) {
        return block.cache;
    }
    if (const ir::ToolResult *result = std::get_if<ir::ToolResult>(&block.part->is)) {
        for (const Part &part : result->parts) {
            if (RawJson mark = cache_of(part); !mark.empty()) {
                return mark;
            }
        }
    }
    return {};
}

bool is_file(const Block &block) {
    return block.what == What::part && std::holds_alternative<ir::Document>(block.part->is);
}

// Which blocks a mark follows. The service refuses one directly behind a document or a video: it
// moves before the run of these, or behind the next other block.
std::vector<RawJson> marks_of(const Message &message) {
    const std::vector<Block> &blocks = message.blocks;
    std::vector<RawJson> marks(blocks.size());
    for (size_t i = 0; i < blocks.size(); ++i) {
        RawJson mark = mark_of(blocks[i]);
        if (mark.empty()) {
            continue;
        }
        size_t at = i + 1;
        while (at > 0 && is_file(blocks[at - 1])) {
            --at;
        }
        if (at == 0) {
            at = i + 1;
            while (at <= blocks.size() && is_file(blocks[at - 1])) {
                ++at;
            }
        }
        if (at <= blocks.size()) {
            marks[at - 1] = mark;
        }
    }
    return marks;
}

class BlockWriter {
  public:
    BlockWriter(const Context &context, json::Writer &writer)
        : context_(context), arena_(context.arena), writer_(writer) {}

    void message(const Message &message) {
        writer_.object().key("role");
        writer_.plain(message.role == Role::assistant ? "assistant" : "user");
        writer_.key("content").array();
        has_text_ = has_document_ = false;
        std::vector<RawJson> marks = marks_of(message);
        for (size_t i = 0; i < marks.size(); ++i) {
            write(message.blocks[i]);
            context_.points.write(marks[i], writer_, context_.notes);
        }
        if (has_document_ && !has_text_) {
            text_block({"."});  // a file alone is refused
        }
        writer_.end().end();
    }

    void operator()(const ir::Text &text) { text_block(text.text); }
    void operator()(const ir::Refusal &refusal) { text_block(refusal.text); }

    void operator()(const ir::Image &image) {
        ir::Source resolved = resolve_source(image.source, arena_);
        std::string_view format = image_format(resolved.mime);
        writer_.object().key("image").object();
        writer_.key("format").plain(format.empty() ? format_of_name(resolved.data) : format);
        source(resolved);
        writer_.end().end();
    }

    void operator()(const ir::Document &document) {
        ir::Source resolved = resolve_source(document.source, arena_);
        if (std::string_view video = video_format(resolved.mime); !video.empty()) {
            writer_.object().key("video").object().key("format").plain(video);
            source(resolved);
            writer_.end().end();
            return;
        }
        bool is_text = resolved.kind == SourceKind::text || resolved.kind == SourceKind::blocks;
        bool takes_files = context_.target.traits.claude || context_.target.traits.nova;
        if (is_text && !takes_files) {
            text_document(document);
            return;
        }
        has_document_ = !is_nested_;
        writer_.object().key("document").object();
        writer_.key("format").plain(is_text ? "txt" : document_format(resolved.mime));
        writer_.key("name").text(document_name(document.title, names_, arena_));
        if (is_text) {
            std::string_view text = json::unescape(text_inside(resolved), arena_);
            writer_.key("source").object().key("bytes").plain(encode_base64(text, arena_)).end();
        } else {
            source(resolved);
        }
        if (!document.context.empty()) {
            writer_.key("context").text(document.context);
        }
        if (context_.target.traits.claude && wants_citations(document)) {
            writer_.key("citations").object().key("enabled").boolean(true).end();
        }
        writer_.end().end();
    }

    void operator()(const ir::ToolCall &call) {
        writer_.object().key("toolUse").object();
        writer_.key("toolUseId").text(call_id_for_bedrock(call.id, arena_));
        writer_.key("name").text(tool_name_for_target(call.name, context_.notes.renamed, arena_));
        writer_.key("input");
        if (call.custom) {
            writer_.object().key("input").plain(call.arguments).end();
        } else {
            writer_.raw(arguments_as_object(call.arguments, arena_));
        }
        writer_.end().end();
    }

    void operator()(const ir::ToolResult &result) {
        const ModelTraits &traits = context_.target.traits;
        bool has_status = traits.claude || traits.nova;
        writer_.object().key("toolResult").object();
        writer_.key("toolUseId").text(call_id_for_bedrock(result.call_id, arena_));
        writer_.key("content").array();
        is_nested_ = true;
        bool says_error = result.is_error && !has_status;
        bool is_empty = true;
        for (const Part &part : result.parts) {
            if (!is_sent(part)) {
                continue;
            }
            const JsonText *text = text_of(part);
            if (text != nullptr && says_error) {
                bool is_said = text->bytes.starts_with("Error");
                writer_.object().key("text").open_text().piece_plain(is_said ? "" : "Error: ");
                writer_.piece(*text).close_text().end();
                says_error = false;
            } else if (text == nullptr || !json_block(*text)) {
                std::visit(*this, part.is);
            }
            is_empty = false;
        }
        if (is_empty) {
            text_block({says_error ? "Error: (no output)" : "(no output)"});
        }
        is_nested_ = false;
        writer_.end();
        if (result.is_error && has_status) {
            writer_.key("status").plain("error");
        }
        writer_.end().end();
    }

    void operator()(const ir::Reasoning &reasoning) {
        writer_.object().key("reasoningContent").object();
        if (reasoning.is_redacted) {
            writer_.key("redactedContent").text(wrap_redacted(reasoning.redacted, arena_));
        } else {
            writer_.key("reasoningText").object().key("text").text(reasoning.text);
            writer_.key("signature").text(reasoning.signature).end();
        }
        writer_.end().end();
    }

    // A search result of the messages API: the same block for its models, text for others.
    void operator()(const ir::Opaque &opaque) {
        Result<json::Value> parsed = reader_.parse_unpadded(opaque.json.bytes);
        json::Value block = parsed ? *parsed : json::Value();
        JsonText title = block.find("title").text();
        if (!context_.target.traits.claude) {
            ByteBuffer text;
            for (JsonText line : {title, block.find("source").text()}) {
                text.append(line.bytes);
                text.append(line.empty() ? "" : "\\n");
            }
            append_texts(block.find("content"), text);
            text_block({arena_.copy(text.view())});
            return;
        }
        writer_.object().key("searchResult").object();
        writer_.key("source").text(block.find("source").text()).key("title").text(title);
        writer_.key("content").array();
        for (json::Value piece : block.find("content").items()) {
            writer_.object().key("text").text(piece.find("text").text()).end();
        }
        writer_.end();
        if (block["citations"]["enabled"].is_true()) {
            writer_.key("citations").object().key("enabled").boolean(true).end();
        }
        writer_.end().end();
    }

    void operator()(const ir::Audio &) {}  // never part of a History

  private:
    void write(const Block &block) {
        switch (block.what) {
            case What::part:
                std::visit(*this, block.part->is);
                return;
            case What::text:
                text_block(block.text);
                return;
            case What::system:
                writer_.object().key("text").open_text();
                writer_.piece_plain("<system>").piece(block.text).piece_plain("</system>");
                writer_.close_text().end();
                has_text_ = true;
                return;
            case What::no_result: {
                ir::ToolResult missing;
                missing.call_id = block.text;
                missing.is_error = true;
                missing.parts.push_back({ir::Text{{"[no result]"}, {}, {}}});
                (*this)(missing);
                return;
            }
        }
    }

    void text_block(JsonText text) {
        writer_.object().key("text").text(text).end();
        has_text_ = has_text_ || !is_nested_;
    }

    // The result of a client that says results as objects.
    bool json_block(JsonText text) {
        if (context_.request.dialect != DialectId::gemini) {
            return false;
        }
        std::string_view plain = json::unescape(text, arena_);
        Result<json::Value> parsed = reader_.parse_unpadded(plain);
        if (!parsed || !parsed->is_object()) {
            return false;
        }
        writer_.object().key("json").raw({plain}).end();
        return true;
    }

    bool is_sent(const Part &part) {
        if (const JsonText *text = text_of(part)) {
            return !json::is_blank(*text);
        }
        return !std::holds_alternative<ir::ToolCall>(part.is) &&
               !std::holds_alternative<ir::ToolResult>(part.is) &&
               !std::holds_alternative<ir::Reasoning>(part.is) &&
               unsupported_part(part, Role::user, context_.request.dialect, context_.target, arena_)
                   .empty();
    }

    void source(const ir::Source &source) {
        writer_.key("source").object();
        if (is_s3(source)) {
            writer_.key("s3Location").object().key("uri").text(source.data).end();
        } else {
            writer_.key("bytes").text(source.data);
        }
        writer_.end();
    }

    // The format of an image in S3 is in its name only.
    static std::string_view format_of_name(JsonText address) {
        for (std::string_view format : {"jpeg", "gif", "webp"}) {
            if (address.bytes.ends_with(format)) {
                return format;
            }
        }
        return address.bytes.ends_with("jpg") ? "jpeg" : "png";
    }

    bool wants_citations(const ir::Document &document) {
        Result<json::Value> wish = reader_.parse_unpadded(document.citations.bytes);
        return wish && wish->find("enabled").is_true();
    }

    static void append_texts(json::Value blocks, ByteBuffer &out) {
        bool is_first = true;
        for (json::Value block : blocks.items()) {
            if (JsonText text = block.find("text").text(); !text.empty()) {
                out.append(is_first ? "" : "\\n");
                out.append(text.bytes);
                is_first = false;
            }
        }
    }

    JsonText text_inside(const ir::Source &source) {
        if (source.kind == SourceKind::text) {
            return source.data;
        }
        ByteBuffer text;
        if (Result<json::Value> blocks = reader_.parse_unpadded(source.blocks.bytes)) {
            append_texts(*blocks, text);
        }
        return {arena_.copy(text.view())};
    }

    void text_document(const ir::Document &document) {
        ByteBuffer text;
        for (JsonText heading : {document.title, document.context}) {
            text.append(heading.bytes);
            text.append(heading.empty() ? "" : "\\n");
        }
        text.append(text_inside(document.source).bytes);
        text_block({text.size() == 0 ? "(empty)" : arena_.copy(text.view())});
    }

    const Context &context_;
    Arena &arena_;
    json::Writer &writer_;
    json::Reader reader_;
    std::vector<std::string_view> names_;  // of documents
    bool is_nested_ = false;               // inside of a result
    bool has_text_ = false;                // of the message
    bool has_document_ = false;
};

}  // namespace

Status build_history(const ir::Request &request, const Target &target, Arena &arena, Notes &notes,
                     History &history) {
    anthropic::HistoryRules rules;
    rules.origin = DialectId::bedrock;
    rules.keeps_reasoning = target.traits.thinking || !target.traits.claude;
    rules.unsupported_part = unsupported_part;
    return anthropic::build_history(request, target, rules, arena, notes, history);
}

uint32_t count_marks(const History &history) {
    uint32_t count = 0;
    for (const Message &message : history.messages) {
        for (RawJson mark : marks_of(message)) {
            count += mark.empty() ? 0 : 1;
        }
    }
    return count;
}

bool has_tool_blocks(const History &history) {
    for (const Message &message : history.messages) {
        for (const Block &block : message.blocks) {
            bool is_call =
                block.what == What::part && std::holds_alternative<ir::ToolCall>(block.part->is);
            if (is_call) {
                return true;  // results stand behind calls only
            }
        }
    }
    return false;
}

void CachePoints::write(RawJson mark, json::Writer &writer, Notes &notes) {
    if (mark.empty()) {
        return;
    }
    if (!is_known) {
        notes.drop("cache_control");
        return;
    }
    if (skip > 0) {
        --skip;
        return;
    }
    writer.object().key("cachePoint").object().key("type").plain("default");
    if (has_ttl && mark.bytes.find("\"1h\"") != std::string_view::npos) {
        writer.key("ttl").plain("1h");
    }
    writer.end().end();
}

void write_messages(const History &history, const Context &context, json::Writer &writer) {
    BlockWriter blocks(context, writer);
    writer.array();
    for (const Message &message : history.messages) {
        blocks.message(message);
    }
    writer.end();
}

}  // namespace llm::bedrock
