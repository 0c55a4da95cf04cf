// The conversation as generateContent wants it. build_contents() merges turns of one role, answers
// every call in the very next content and in the order of the calls (Vertex AI pairs them by their
// place), puts signatures back on the parts that they came on, drops what cannot be sent and fills
// what would be empty. The same history gives the same bytes on every turn.
//
// Invariants: contents begin with the user and alternate, none is empty, every functionCall is
// answered once. Models that demand signatures (ModelTraits::thinking_level) find one on the first
// call of each step of the current turn, be it the documented placeholder.
#include <unordered_map>

#include "translators/dialect/gemini_render.hpp"
#include "translators/dialect/render_hints.hpp"

namespace llm::gemini {

namespace {

using ir::Part;
using ir::Role;
using What = Piece::What;

constexpr std::string_view kPlaceholder = "skip_thought_signature_validator";

class Builder {
  public:
    explicit Builder(const RenderJob &job) : job_(job) {}

    Status build(std::vector<Content> &contents) {
        for (const ir::Turn &turn : job_.request.turns) {
            switch (turn.role) {
                case Role::assistant:
                    LLM_TRY(assistant(turn));
                    break;
                case Role::user:
                    LLM_TRY(user(turn));
                    break;
                case Role::system:
                    system(turn);
                    break;
            }
        }
        assemble(contents);
        LLM_TRY(last_content(contents));
        if (job_.target.traits.thinking_level) {
            sign_current_turn(contents);
        }
        return {};
    }

  private:
    struct Call {
        const ir::ToolCall *call;
        const Part *result;
    };

    // --- turns ------------------------------------------------------------------------------

    Status assistant(const ir::Turn &turn) {
        std::vector<Piece> pieces;
        LLM_TRY(signed_pieces(turn, pieces));
        if (pieces.empty()) {
            return {};
        }
        bool goes_on = !contents_.empty() && contents_.back().is_model && !is_answered_;
        if (!goes_on) {
            contents_.push_back({true, {}});
            calls_.resize(contents_.size());
            by_id_.clear();
            step_ = contents_.size() - 1;
            is_answered_ = false;
        }
        for (Piece &piece : pieces) {
            const ir::ToolCall *call =
                piece.what == What::part ? std::get_if<ir::ToolCall>(&piece.part->is) : nullptr;
            if (call != nullptr) {
                by_id_[call->id.bytes] = calls_[step_].size();
                calls_[step_].push_back({call, nullptr});
            }
            contents_.back().pieces.push_back(piece);
        }
        return {};
    }

    // Reasoning is not sent itself: its signature goes to the call behind it or the text before it,
    // and if neither stands there, to the next call or the last text.
    Status signed_pieces(const ir::Turn &turn, std::vector<Piece> &pieces) {
        JsonText pending;
        for (size_t i = 0; i < turn.parts.size(); ++i) {
            const Part &part = turn.parts[i];
            const ir::Reasoning *reasoning = std::get_if<ir::Reasoning>(&part.is);
            if (const ir::Opaque *opaque = foreign_block(part)) {
                job_.notes.drop(opaque->type.bytes);  // of a server tool: its text stays
                continue;
            }
            if (std::holds_alternative<ir::ToolResult>(part.is)) {
                job_.notes.drop("tool_result");  // results are the user's
                continue;
            }
            if (reasoning == nullptr) {
                size_t before = pieces.size();
                LLM_TRY(add(part, pieces));
                bool is_call = std::holds_alternative<ir::ToolCall>(part.is);
                if (is_call && pieces.size() > before) {
                    pieces.back().signature = pending;
                    pending = {};
                }
                continue;
            }
            if (reasoning->origin != DialectId::gemini || reasoning->signature.empty()) {
                if (says_anything(*reasoning)) {
                    job_.notes.drop(thoughts_name(job_.request.dialect));
                }
                continue;
            }
            bool is_before_call = i + 1 < turn.parts.size() &&
                                  std::holds_alternative<ir::ToolCall>(turn.parts[i + 1].is);
            bool is_behind = i > 0 && !pieces.empty() && pieces.back().part == &turn.parts[i - 1] &&
                             takes_signature(pieces.back());
            if (is_behind && !is_before_call) {
                pieces.back().signature = reasoning->signature;
            } else {
                pending = reasoning->signature;
            }
        }
        if (pending.empty()) {
            return {};
        }
        if (!pieces.empty() && takes_signature(pieces.back())) {
            pieces.back().signature = pending;
        } else {
            pieces.push_back({What::text, nullptr, nullptr, {}, pending});
        }
        return {};
    }

    static const ir::Opaque *foreign_block(const Part &part) {
        const ir::Opaque *opaque = std::get_if<ir::Opaque>(&part.is);
        bool is_foreign = opaque != nullptr && opaque->dialect != DialectId::gemini;
        return is_foreign ? opaque : nullptr;
    }

    static bool takes_signature(const Piece &piece) {
        return piece.signature.empty() && piece.what == What::part &&
               (text_of(*piece.part) != nullptr ||
                std::holds_alternative<ir::Image>(piece.part->is));
    }

    Status user(const ir::Turn &turn) {
        std::vector<Piece> pieces;
        bool has_result = false;
        for (const Part &part : turn.parts) {
            if (const ir::ToolResult *result = std::get_if<ir::ToolResult>(&part.is)) {
                for (const Part &nested : result->parts) {
                    LLM_TRY(check(nested));
                }
                has_result = true;
                auto call = by_id_.find(result->call_id.bytes);
                if (call == by_id_.end()) {
                    job_.notes.drop("tool_result");
                    continue;
                }
                const Part *&answer = calls_[step_][call->second].result;
                if (answer != nullptr) {
                    job_.notes.drop("tool_result");  // the later one is said
                }
                answer = &part;
                is_answered_ = true;
                continue;
            }
            if (!std::holds_alternative<ir::Reasoning>(part.is)) {
                LLM_TRY(add(part, pieces));
            }
        }
        if (!pieces.empty() || !has_result) {
            append(pieces);
        }
        return {};
    }

    // Where it stands, so that what came before it stays the same prefix.
    void system(const ir::Turn &turn) {
        std::vector<Piece> pieces;
        for (const Part &part : turn.parts) {
            const JsonText *text = text_of(part);
            if (text != nullptr && !json::is_blank(*text)) {
                ByteBuffer out;
                out.append("<system>");
                out.append(text->bytes);
                out.append("</system>");
                pieces.push_back({What::text, nullptr, nullptr, {job_.arena.copy(out.view())}, {}});
            }
        }
        if (!pieces.empty()) {
            append(pieces);
        }
    }

    void append(const std::vector<Piece> &pieces) {
        if (contents_.empty() || contents_.back().is_model) {
            contents_.push_back({false, {}});
            calls_.resize(contents_.size());
        }
        std::vector<Piece> &into = contents_.back().pieces;
        into.insert(into.end(), pieces.begin(), pieces.end());
    }

    // --- parts ------------------------------------------------------------------------------

    Status add(const Part &part, std::vector<Piece> &pieces) {
        if (const JsonText *text = text_of(part); text != nullptr && text->empty()) {
            return {};
        }
        bool is_sent = true;
        LLM_TRY(check(part, &is_sent));
        if (is_sent) {
            pieces.push_back({What::part, &part, nullptr, {}, {}});
        }
        return {};
    }

    // `is_sent`: false when it is left out.
    Status check(const Part &part, bool *is_sent = nullptr) {
        const ir::Image *image = std::get_if<ir::Image>(&part.is);
        if (image != nullptr && !image->detail.empty() && !json::equals(image->detail, "auto")) {
            job_.notes.drop("detail");
        }
        std::string_view blamed = unsupported_part(job_, part);
        if (blamed.empty()) {
            return {};
        }
        if (is_sent != nullptr) {
            *is_sent = false;
        }
        return job_.refuse("the target does not take this kind of content", blamed);
    }

    // --- the whole --------------------------------------------------------------------------

    // Results go first in the content behind their calls.
    void assemble(std::vector<Content> &contents) {
        if (contents_.empty() || contents_.front().is_model) {
            contents.push_back({false, {{What::text, nullptr, nullptr, {" "}, {}}}});
        }
        std::vector<Piece> results;
        for (size_t i = 0; i < contents_.size(); ++i) {
            Content &content = contents_[i];
            if (!results.empty()) {
                if (!content.is_model) {
                    content.pieces.insert(content.pieces.begin(), results.begin(), results.end());
                } else {
                    contents.push_back({false, results});
                }
                results.clear();
            }
            if (content.pieces.empty()) {
                content.pieces.push_back({What::text, nullptr, nullptr, {"(empty)"}, {}});
            }
            contents.push_back(std::move(content));
            for (const Call &call : calls_[i]) {
                What what = call.result != nullptr ? What::result : What::no_result;
                results.push_back({what, call.result, call.call, {}, {}});
            }
        }
        if (!results.empty()) {
            contents.push_back({false, std::move(results)});
        }
    }

    Status last_content(std::vector<Content> &contents) {
        if (!contents.back().is_model || job_.target.traits.prefill) {
            return {};
        }
        LLM_TRY(job_.refuse("the model does not continue an assistant message", "prefill"));
        contents.pop_back();  // what is before it is the user's, see assemble()
        return {};
    }

    // The current turn is all since the user last said something; a result is nothing said.
    void sign_current_turn(std::vector<Content> &contents) {
        for (size_t i = contents.size(); i-- > 0;) {
            Content &content = contents[i];
            if (!content.is_model) {
                for (const Piece &piece : content.pieces) {
                    if (piece.what == What::text || piece.what == What::part) {
                        return;
                    }
                }
                continue;
            }
            for (Piece &piece : content.pieces) {
                if (piece.what == What::part &&
                    std::holds_alternative<ir::ToolCall>(piece.part->is)) {
                    if (piece.signature.empty()) {
                        piece.signature = {kPlaceholder};
                    }
                    break;
                }
            }
        }
    }

    const RenderJob &job_;
    std::vector<Content> contents_;
    std::vector<std::vector<Call>> calls_;                // beside contents_
    std::unordered_map<std::string_view, size_t> by_id_;  // calls of the latest step
    size_t step_ = 0;
    bool is_answered_ = false;  // a result of the step was seen
};

}  // namespace

Status build_contents(const RenderJob &job, std::vector<Content> &contents) {
    return Builder(job).build(contents);
}

}  // namespace llm::gemini
