// Parts of a generateContent request: texts, media, calls and their results, each with the
// signature that it came with. Media go as bytes or by address; what a model does not take inside
// of a result stands behind it.
#include <optional>

#include "translators/dialect/block_text.hpp"
#include "translators/dialect/gemini_render.hpp"
#include "translators/dialect/media.hpp"
#include "translators/dialect/tool_arguments.hpp"

namespace llm::gemini {

namespace {

using ir::Part;
using What = Piece::What;

// Data addresses as the bytes they hold.
ir::Source resolve(const ir::Source &source, Arena &arena) {
    ir::Source resolved = source;
    if (source.kind == ir::SourceKind::url) {
        if (std::optional<DataUrl> data = parse_data_url(source.data, arena)) {
            resolved.kind = ir::SourceKind::base64;
            resolved.mime = data->mime;
            resolved.data = data->data;
        }
    }
    if (resolved.kind == ir::SourceKind::base64) {
        resolved.mime = trusted_mime(resolved.mime, resolved.data);
    }
    return resolved;
}

bool is_image_mime(JsonText mime) {
    for (std::string_view known : {"image/png", "image/jpeg", "image/webp", "image/heic",
                                   "image/heif", "image/gif", "image/avif"}) {
        if (json::equals(mime, known)) {
            return true;
        }
    }
    return false;
}

// The media type by the ending of an address.
std::string_view mime_of_address(JsonText address, std::string_view otherwise) {
    std::string_view path = address.bytes.substr(0, address.bytes.find_first_of("?#"));
    size_t dot = path.rfind('.');
    std::string_view ending = dot == std::string_view::npos ? std::string_view() : path.substr(dot);
    constexpr struct {
        std::string_view ending, mime;
    } kEndings[] = {{".png", "image/png"},   {".jpg", "image/jpeg"},   {".jpeg", "image/jpeg"},
                    {".webp", "image/webp"}, {".gif", "image/gif"},    {".heic", "image/heic"},
                    {".mp4", "video/mp4"},   {".mp3", "audio/mpeg"},   {".wav", "audio/wav"},
                    {".txt", "text/plain"},  {".md", "text/markdown"}, {".pdf", "application/pdf"}};
    for (const auto &row : kEndings) {
        if (ending == row.ending) {
            return row.mime;
        }
    }
    return otherwise;
}

std::string_view audio_mime(JsonText format) {
    constexpr struct {
        std::string_view format, mime;
    } kFormats[] = {{"mp3", "audio/mpeg"}, {"wav", "audio/wav"},   {"aac", "audio/aac"},
                    {"ogg", "audio/ogg"},  {"flac", "audio/flac"}, {"aiff", "audio/aiff"},
                    {"m4a", "audio/m4a"},  {"opus", "audio/opus"}, {"pcm16", "audio/pcm"}};
    for (const auto &row : kFormats) {
        if (json::equals(format, row.format)) {
            return row.mime;
        }
    }
    return {};
}

bool can_send(const RenderJob &job, const ir::Source &given, bool is_image) {
    ir::Source source = resolve(given, job.arena);
    switch (source.kind) {
        case ir::SourceKind::base64:
            return !source.mime.empty() &&
                   (!is_image || job.is_own() || is_image_mime(source.mime));
        case ir::SourceKind::url:
            return job.is_own() || job.is_vertex() || job.is_modern();
        case ir::SourceKind::file_id:
            return job.is_own();
        case ir::SourceKind::text:
        case ir::SourceKind::blocks:
            return true;
    }
    return false;
}

}  // namespace

const JsonText *text_of(const Part &part) {
    if (const ir::Text *text = std::get_if<ir::Text>(&part.is)) {
        return &text->text;
    }
    if (const ir::Refusal *refusal = std::get_if<ir::Refusal>(&part.is)) {
        return &refusal->text;
    }
    return nullptr;
}

std::string_view unsupported_part(const RenderJob &job, const Part &part) {
    if (const ir::Image *image = std::get_if<ir::Image>(&part.is)) {
        return can_send(job, image->source, true) ? std::string_view() : "image_url";
    }
    if (const ir::Document *document = std::get_if<ir::Document>(&part.is)) {
        return can_send(job, document->source, false) ? std::string_view() : "file";
    }
    if (const ir::Audio *audio = std::get_if<ir::Audio>(&part.is)) {
        return audio_mime(audio->format).empty() ? "input_audio" : std::string_view();
    }
    if (const ir::Opaque *opaque = std::get_if<ir::Opaque>(&part.is)) {
        bool is_known = opaque->dialect == DialectId::gemini || is_search_result(*opaque);
        return is_known ? std::string_view() : "messages.content";
    }
    return {};
}

namespace {

class PieceWriter {
  public:
    PieceWriter(const RenderJob &job, json::Writer &writer) : job_(job), writer_(writer) {}

    void content(const Content &content) {
        writer_.object().key("role").plain(content.is_model ? "model" : "user");
        writer_.key("parts").array();
        bool has_text = content.is_model;
        for (const Piece &piece : content.pieces) {
            has_text = has_text || piece.what != What::part || text_of(*piece.part) != nullptr;
            write(piece);
        }
        for (const Piece &piece : content.pieces) {
            if (piece.what == What::result && !job_.target.traits.thinking_level) {
                hoist(std::get<ir::ToolResult>(piece.part->is));
            }
        }
        if (!has_text && job_.is_vertex()) {
            writer_.object().key("text").plain(" ").end();
        }
        writer_.end().end();
    }

  private:
    void write(const Piece &piece) {
        switch (piece.what) {
            case What::part:
                part(piece);
                return;
            case What::text:
                writer_.object().key("text").text(piece.text);
                close(piece.signature);
                return;
            case What::result:
                open_result(*piece.call);
                result(std::get<ir::ToolResult>(piece.part->is));
                writer_.end().end();
                return;
            case What::no_result:
                open_result(*piece.call);
                writer_.key("response").raw({"{\"error\":\"[no result]\"}"});
                writer_.end().end();
                return;
        }
    }

    void part(const Piece &piece) {
        const Part &part = *piece.part;
        if (const ir::Opaque *opaque = std::get_if<ir::Opaque>(&part.is)) {
            if (opaque->dialect == DialectId::gemini) {
                writer_.raw(opaque->json);
            } else {
                JsonText text = text_of_search_result(opaque->json, job_.arena);
                writer_.object().key("text").text(filled(text)).end();
            }
            return;
        }
        if (const JsonText *text = text_of(part)) {
            writer_.object().key("text").text(*text);
        } else if (const ir::ToolCall *call = std::get_if<ir::ToolCall>(&part.is)) {
            writer_.object().key("functionCall").object();
            id(call->id);
            writer_.key("name").text(job_.tool_name(call->name)).key("args");
            if (call->custom) {
                writer_.object().key("input").plain(call->arguments).end();
            } else {
                writer_.raw(arguments_as_object(call->arguments, job_.arena));
            }
            writer_.end();
        } else {
            media(part);
            return;
        }
        close(piece.signature);
    }

    void close(JsonText signature) {
        if (!signature.empty()) {
            writer_.key("thoughtSignature").text(signature);
        }
        writer_.end();
    }

    // Vertex AI refuses ids in part: it pairs by place.
    void id(JsonText id) {
        if (!id.empty() && !job_.is_vertex()) {
            writer_.key("id").text(id);
        }
    }

    void open_result(const ir::ToolCall &call) {
        writer_.object().key("functionResponse").object();
        id(call.id);
        writer_.key("name").text(job_.tool_name(call.name));
    }

    bool is_media(const Part &part) const {
        return (std::holds_alternative<ir::Image>(part.is) ||
                std::holds_alternative<ir::Document>(part.is) ||
                std::holds_alternative<ir::Audio>(part.is)) &&
               unsupported_part(job_, part).empty();
    }

    void result(const ir::ToolResult &result) {
        ByteBuffer joined;
        size_t texts = 0;
        bool has_media = false;
        for (const Part &part : result.parts) {
            has_media = has_media || is_media(part);
            const ir::Opaque *opaque = std::get_if<ir::Opaque>(&part.is);
            JsonText found;
            if (const JsonText *text = text_of(part)) {
                found = *text;
            } else if (opaque != nullptr && is_search_result(*opaque)) {
                found = text_of_search_result(opaque->json, job_.arena);
            } else {
                continue;
            }
            joined.append(texts++ > 0 ? "\\n" : "");
            joined.append(found.bytes);
        }
        JsonText text = {job_.arena.copy(joined.view())};
        std::string_view plain = json::unescape(text, job_.arena);
        size_t first = plain.find_first_not_of(" \t\r\n");
        bool is_object = first != std::string_view::npos && plain[first] == '{';
        if (is_object) {
            json::Limits limits;
            limits.max_depth = kMaxResultDepth;
            Result<json::Value> parsed = reader_.parse_unpadded(plain, limits);
            is_object = static_cast<bool>(parsed);
        }
        writer_.key("response");
        if (is_object && !result.is_error) {
            size_t last = plain.find_last_not_of(" \t\r\n");
            writer_.raw({plain.substr(first, last + 1 - first)});
        } else {
            writer_.object().key(result.is_error ? "error" : "result").text(text).end();
        }
        if (has_media && job_.target.traits.thinking_level) {
            writer_.key("parts").array();
            for (const Part &part : result.parts) {
                if (is_media(part)) {
                    media(part);
                }
            }
            writer_.end();
        }
    }

    // Models that take no media inside of a result get them behind the results.
    void hoist(const ir::ToolResult &result) {
        for (const Part &part : result.parts) {
            if (is_media(part)) {
                media(part);
            }
        }
    }

    void media(const Part &part) {
        if (const ir::Audio *audio = std::get_if<ir::Audio>(&part.is)) {
            std::string_view mime = audio_mime(audio->format);
            if (!mime.empty()) {
                inline_data({mime}, audio->data);
            }
            return;
        }
        const ir::Image *image = std::get_if<ir::Image>(&part.is);
        const ir::Document *document = std::get_if<ir::Document>(&part.is);
        if (image == nullptr && document == nullptr) {
            return;
        }
        ir::Source source =
            resolve(image != nullptr ? image->source : document->source, job_.arena);
        switch (source.kind) {
            case ir::SourceKind::base64:
                if (!source.mime.empty()) {
                    inline_data(source.mime, source.data);
                }
                return;
            case ir::SourceKind::url:
            case ir::SourceKind::file_id: {
                std::string_view otherwise = image != nullptr ? "image/jpeg" : "application/pdf";
                writer_.object().key("fileData").object().key("mimeType");
                if (source.mime.empty()) {
                    writer_.plain(mime_of_address(source.data, otherwise));
                } else {
                    writer_.text(source.mime);
                }
                writer_.key("fileUri").text(source.data).end().end();
                return;
            }
            case ir::SourceKind::text:
            case ir::SourceKind::blocks: {
                JsonText text = source.kind == ir::SourceKind::text
                                    ? source.data
                                    : text_of_blocks(source.blocks, job_.arena);
                writer_.object().key("text").open_text();
                if (document != nullptr && !document->title.empty()) {
                    writer_.piece(document->title).piece_plain("\n\n");
                }
                writer_.piece(filled(text)).close_text().end();
                return;
            }
        }
    }

    // The API refuses a text that is empty.
    static JsonText filled(JsonText text) { return text.empty() ? JsonText{"(empty)"} : text; }

    void inline_data(JsonText mime, JsonText data) {
        writer_.object().key("inlineData").object().key("mimeType").text(mime);
        writer_.key("data").text(data).end().end();
    }

    static constexpr uint32_t kMaxResultDepth = 400;  // with what stands around it

    const RenderJob &job_;
    json::Writer &writer_;
    json::Reader reader_;
};

}  // namespace

void write_contents(const RenderJob &job, const std::vector<Content> &contents,
                    json::Writer &writer) {
    PieceWriter pieces(job, writer);
    writer.array();
    for (const Content &content : contents) {
        pieces.content(content);
    }
    writer.end();
}

}  // namespace llm::gemini
