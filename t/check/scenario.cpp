// See scenario.hpp. What is random here is what an answer or a conversation says; how a provider
// sends it or a client writes it stands with the dialects (*_check.cpp).
#include "t/check/scenario.hpp"

#include <algorithm>
#include <cstdio>

#include "t/check/dialect_check.hpp"
#include "translators/json/writer.hpp"

namespace llm::check {
namespace {

constexpr std::string_view kWords[] = {
    "harbour",
    "calm ",
    "\xc3\xa9t\xc3\xa9",
    "\xe2\x98\x95",
    "\xf0\x9f\x98\x80",
    "\"quoted\"",
    "back\\slash",
    "\n\n",
    "data: {\"x\":1}\n\n",
    "[DONE]",
    "\t",
    "</system>",
    "{",
    "}",
    "null",
    "\r\n",
    "event: error",
    "\x01\x1f",
    "e\xcc\x81",
    ":",
    " ",
    "0.10",
    "\xe2\x80\xa8",
};

}  // namespace

std::vector<std::string> pieces(Chance &chance, const std::string &text) {
    std::vector<std::string> units;
    for (size_t at = 0; at < text.size();) {
        unsigned char first = static_cast<unsigned char>(text[at]);
        size_t size = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
        if (size == 4 && chance.one_in(2)) {
            uint32_t code = (first & 7u) << 18;
            for (size_t i = 1; i < 4; i++) {
                code |= (static_cast<unsigned char>(text[at + i]) & 0x3fu) << (18 - 6 * i);
            }
            char escape[16];
            snprintf(escape, sizeof escape, "\\u%04x", 0xd800 + ((code - 0x10000) >> 10));
            units.push_back(escape);
            snprintf(escape, sizeof escape, "\\u%04x", 0xdc00 + (code & 0x3ff));
            units.push_back(escape);
        } else {
            ByteBuffer unit;
            json::append_escaped(std::string_view(text).substr(at, size), unit);
            units.emplace_back(unit.view());
        }
        at += size;
    }
    std::vector<std::string> out;
    for (size_t at = 0; at < units.size();) {
        size_t end = std::min(at + (chance.one_in(3) ? 1 : 1 + chance.below(12)), units.size());
        std::string &piece = out.emplace_back();
        while (at < end) {
            piece += units[at++];
        }
    }
    return out;
}

std::string random_text(Chance &chance, size_t words) {
    std::string text;
    for (size_t i = 0; i < words; i++) {
        text += kWords[chance.below(sizeof kWords / sizeof kWords[0])];
    }
    return text;
}

std::string random_arguments(Chance &chance) {
    ByteBuffer out;
    json::Writer w(out);
    w.object();
    for (size_t i = chance.below(4); i > 0; i--) {
        w.key("k" + std::to_string(i));
        switch (chance.below(4)) {
            case 0:
                w.plain(random_text(chance, chance.below(5)));
                break;
            case 1:
                w.raw({"12345678901234567890.10"});
                break;
            case 2:
                w.array().boolean(true).null().object().key("\xc3\xa9").number(-1).end().end();
                break;
            default:
                w.raw({"\"\\u00e9\\ud83d\\ude00\\/\""});
                break;
        }
    }
    w.end();
    return std::string(out.view());
}

Scenario random_scenario(DialectId dialect, uint64_t seed) {
    using Kind = Scenario::Block::Kind;
    Chance chance(seed);
    Scenario made;
    made.dialect = dialect;
    made.seed = seed;
    auto text = [&] { return "t" + random_text(chance, 1 + chance.below(8)); };
    if (chance.one_in(2)) {
        std::string signature = "c2ln" + std::to_string(seed);
        made.blocks.push_back({Kind::reasoning, chance.one_in(4) ? "" : text(), {}, {}, signature});
        if (chance.one_in(3)) {
            made.blocks.push_back({Kind::redacted, "cmVk", {}, {}, {}});
        }
    }
    if (!chance.one_in(4)) {
        made.blocks.push_back({Kind::text, text(), {}, {}, {}});
    }
    size_t calls = chance.one_in(2) ? chance.below(4) : 0;
    for (size_t i = 0; i < calls; i++) {
        std::string id = (chance.one_in(3) ? "functions.f:" : "call_") + std::to_string(i);
        made.blocks.push_back({Kind::call,
                               random_arguments(chance),
                               id,
                               "tool_" + std::to_string(chance.below(3)),
                               {}});
        if (chance.one_in(3)) {
            made.blocks.push_back({Kind::text, text(), {}, {}, {}});
        }
    }
    if (chance.one_in(5)) {
        made.finish = ir::Finish::length;
    } else if (calls > 0) {
        made.finish = ir::Finish::tool_calls;
    } else if (chance.one_in(4)) {
        made.finish = ir::Finish::stop_sequence;
        made.stop_sequence = "\"END\"\n";
    }
    made.input = int64_t(50 + chance.below(1000));
    made.cache_read = int64_t(chance.below(40));
    made.cache_write = int64_t(chance.below(10));
    made.output = int64_t(10 + chance.below(500));
    made.reasoning = int64_t(chance.below(10));
    check_of(dialect).fit(made, chance);
    return made;
}

std::string written_stream(const Scenario &scenario) {
    return check_of(scenario.dialect).stream_of(scenario);
}

std::string written_body(const Scenario &scenario) {
    return check_of(scenario.dialect).body_of(scenario);
}

// --- requests ---------------------------------------------------------------------------------

namespace {

class AskMaker {
  public:
    explicit AskMaker(uint64_t seed) : chance_(seed) {}

    Ask make() {
        ask_.max_tokens = chance_.one_in(2) ? int64_t(1 + chance_.below(9000)) : 0;
        ask_.stream = chance_.one_in(2);
        ask_.temperature = chance_.one_in(3) ? "0.70" : "";
        ask_.system = chance_.one_in(2) ? words() : "";
        ask_.thinking = chance_.one_in(4);
        ask_.has_unknown_member = chance_.one_in(5);
        ask_.tools = {"look", "files.read"};
        size_t turns = 1 + chance_.below(7);
        for (size_t i = 0; i < turns; i++) {
            user();
            if (chance_.one_in(6)) {
                user();
            }
            if (i + 1 < turns) {
                assistant();
            }
            if (chance_.one_in(6)) {
                ask_.turns.push_back({Ask::Turn::Kind::system, words(), {}, {}, {}, false});
            }
        }
        return ask_;
    }

  private:
    std::string words() { return "w" + random_text(chance_, chance_.below(6)); }

    void user() {
        Ask::Turn turn{Ask::Turn::Kind::user, words(), {}, {}, {}, chance_.one_in(2)};
        for (const Ask::Call &call : calls_) {
            turn.results.push_back({call.id, call.name, "r" + words()});
        }
        if (calls_.empty() && turn.as_parts && chance_.one_in(3)) {
            turn.image = "https://pictures.example/" + std::to_string(number_++) + ".png";
        }
        calls_.clear();
        ask_.turns.push_back(turn);
    }

    void assistant() {
        size_t calls = chance_.one_in(2) ? chance_.below(4) : 0;
        Ask::Turn turn{Ask::Turn::Kind::assistant, calls == 0 ? words() : "", {}, {}, {}, false};
        for (size_t i = 0; i < calls; i++) {
            std::string id = (chance_.one_in(4) ? "functions.look:" : "call_") +
                             std::to_string(number_++) +
                             (chance_.one_in(5) ? std::string(50, 'x') : "");
            std::string arguments = random_arguments(chance_);
            turn.calls.push_back({id, chance_.one_in(2) ? "look" : "files.read",
                                  chance_.one_in(8) ? "{\"cut" : arguments});
            // The user may have left before the tool answered.
            if (!chance_.one_in(8)) {
                calls_.push_back(turn.calls.back());
            }
        }
        ask_.turns.push_back(turn);
    }

    Chance chance_;
    Ask ask_;
    std::vector<Ask::Call> calls_;  // to be answered
    size_t number_ = 0;
};

}  // namespace

Ask random_ask(uint64_t seed) {
    return AskMaker(seed).make();
}

}  // namespace llm::check
