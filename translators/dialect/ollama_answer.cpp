// See ollama_answer.hpp.
#include "translators/dialect/ollama_answer.hpp"

#include <cstring>

#include "translators/dialect/tool_names.hpp"
#include "translators/dialect/usage_count.hpp"

namespace llm::ollama {

namespace {

using json::Value;

// Days from 1970-01-01, in the proleptic Gregorian calendar: years begin in March here, so that
// the day that comes and goes is their last.
int64_t days_of(int64_t year, int64_t month, int64_t day) {
    year -= month <= 2 ? 1 : 0;
    int64_t month_from_march = (month + 9) % 12;
    int64_t day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    return 365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719468;
}

// `size` digits at `at`; -1 where others stand there.
int64_t digits(std::string_view text, size_t at, size_t size) {
    if (at + size > text.size()) {
        return -1;
    }
    int64_t value = 0;
    for (char c : text.substr(at, size)) {
        if (c < '0' || c > '9') {
            return -1;
        }
        value = value * 10 + (c - '0');
    }
    return value;
}

}  // namespace

bool read_usage(Value root, Usage &usage) {
    std::optional<int64_t> prompt = told_count(root["prompt_eval_count"]);
    std::optional<int64_t> answer = told_count(root["eval_count"]);
    if (!prompt && !answer) {
        return false;
    }
    usage = Usage();
    usage.known = prompt && answer;
    usage.input = prompt.value_or(0);
    usage.output = answer.value_or(0);
    return true;
}

ir::Finish read_finish(JsonText native, bool has_calls) {
    if (native.empty() || json::equals(native, "stop")) {
        return has_calls ? ir::Finish::tool_calls : ir::Finish::stop;
    }
    return json::equals(native, "length") ? ir::Finish::length : ir::Finish::other;
}

int64_t read_time(JsonText time) {
    std::string_view text = time.bytes;
    int64_t year = digits(text, 0, 4);
    int64_t month = digits(text, 5, 2);
    int64_t day = digits(text, 8, 2);
    int64_t hour = digits(text, 11, 2);
    int64_t minute = digits(text, 14, 2);
    int64_t second = digits(text, 17, 2);
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23 ||
        minute < 0 || minute > 59 || second < 0 || second > 60) {
        return 0;
    }
    int64_t seconds = (days_of(year, month, day) * 24 + hour) * 3600 + minute * 60 + second;
    size_t zone = text.find_first_of("+-Zz", 19);
    if (zone != std::string_view::npos && (text[zone] == '+' || text[zone] == '-')) {
        int64_t hours = digits(text, zone + 1, 2);
        int64_t minutes = digits(text, zone + 4, 2);
        if (hours >= 0 && minutes >= 0) {
            int64_t offset = hours * 3600 + minutes * 60;
            seconds += text[zone] == '+' ? -offset : offset;
        }
    }
    return seconds < 0 ? 0 : seconds;
}

JsonText make_call_id(Value root, Value call, uint32_t ordinal, Arena &arena) {
    // There is no id of the answer. Its time counts nanoseconds; what is called sets apart the
    // answers of a server that has no clock.
    std::string_view seed[] = {root["created_at"].text().bytes, "|", call["function"].raw().bytes};
    size_t size = 0;
    for (std::string_view piece : seed) {
        size += piece.size();
    }
    char *start = arena.allocate(size);
    char *at = start;
    for (std::string_view piece : seed) {
        if (!piece.empty()) {
            memcpy(at, piece.data(), piece.size());
            at += piece.size();
        }
    }
    JsonText escaped = json::escape({start, size}, arena);
    return invent_call_id(escaped, ordinal, arena);
}

std::string_view read_arguments(Value function, Arena &arena) {
    Value arguments = function["arguments"];
    if (arguments.is_unset()) {
        return "{}";
    }
    if (!arguments.is_string()) {
        return arguments.raw().bytes;
    }
    std::string_view text = json::unescape(arguments.text(), arena);  // of an imitator
    size_t first = text.find_first_not_of(" \t\r\n");
    bool is_empty = first == std::string_view::npos || text == "null";
    return is_empty ? std::string_view("{}") : text;
}

}  // namespace llm::ollama
