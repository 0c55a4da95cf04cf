// The way through the turns of a request that targets of OpenAI's shape have in common: system
// messages where they stood, and behind each turn of the assistant the results of its calls.
#pragma once

#include <vector>

#include "translators/dialect/render_job.hpp"
#include "translators/dialect/render_parts.hpp"

namespace llm {

using Texts = std::vector<const ir::Text *>;

inline Texts texts_of(const std::vector<ir::Text> &texts) {
    Texts list;
    for (const ir::Text &text : texts) {
        list.push_back(&text);
    }
    return list;
}

inline Texts texts_of(const ir::Turn &turn) {
    Texts list;
    for (const ir::Part &part : turn.parts) {
        if (const auto *text = std::get_if<ir::Text>(&part.is)) {
            list.push_back(text);
        }
    }
    return list;
}

inline bool has_text(const Texts &texts) {
    for (const ir::Text *text : texts) {
        if (!text->text.empty()) {
            return true;
        }
    }
    return false;
}

// Several blocks as one text, into an open string.
inline void write_paragraphs(const Texts &texts, const RenderJob &job) {
    bool is_first = true;
    for (const ir::Text *text : texts) {
        job.note_cache(text->cache);
        if (text->text.empty()) {
            continue;
        }
        if (!is_first) {
            job.writer.piece(kParagraph);
        }
        is_first = false;
        job.writer.piece(text->text);
    }
}

// `to` writes what it is given: system(texts), user(first turn) -> behind the last one that it
// wrote, assistant(turn), results(step of match_results).
template <class To>
Status walk_turns(const RenderJob &job, To &to) {
    const std::vector<ir::Turn> &turns = job.request.turns;
    if (!turns.empty() && turns[0].role != ir::Role::assistant) {
        LLM_TRY(to.results(match_results(turns, turns.size(), job.arena)));
    }
    for (size_t i = 0; i < turns.size();) {
        switch (turns[i].role) {
            case ir::Role::system:
                to.system(texts_of(turns[i++]));
                break;
            case ir::Role::user: {
                Result<size_t> next = to.user(i);
                if (!next) {
                    return next.error();
                }
                i = *next;
                break;
            }
            case ir::Role::assistant:
                LLM_TRY(to.assistant(turns[i]));
                LLM_TRY(to.results(match_results(turns, i++, job.arena)));
                break;
        }
    }
    return {};
}

}  // namespace llm
