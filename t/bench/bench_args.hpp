// Command line of the bench programs: `--name value` and bare `--flag`, nothing else.
//
// Entry points: ArgReader (construct over argc/argv, call number()/text()/flag() for each option in
// turn, then finish()). Unknown options and values out of range end the program with status 2, so
// that a typing error never measures something else than what was asked for.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace bench {

class ArgReader {
public:
    ArgReader(int argc, char** argv) : program_(argv[0]), words_(argv + 1, argv + argc) {
        used_.resize(words_.size(), false);
    }

    // Sets `value` when `--name N` is present and low <= N <= high.
    void number(const char* name, long long& value, long long low, long long high) {
        const char* word = take_value(name);
        if (word == nullptr) {
            return;
        }
        char* end = nullptr;
        long long parsed = strtoll(word, &end, 10);
        if (*word == '\0' || *end != '\0' || parsed < low || parsed > high) {
            fprintf(stderr, "%s: %s wants a number from %lld to %lld, not \"%s\"\n", program_, name,
                    low, high, word);
            exit(2);
        }
        value = parsed;
    }

    void text(const char* name, std::string& value) {
        if (const char* word = take_value(name)) {
            value = word;
        }
    }

    // Appends every `--name VALUE`, for options that may repeat.
    void texts(const char* name, std::vector<std::string>& values) {
        while (const char* word = take_value(name)) {
            values.push_back(word);
        }
    }

    bool flag(const char* name) {
        for (size_t i = 0; i < words_.size(); i++) {
            if (!used_[i] && strcmp(words_[i], name) == 0) {
                used_[i] = true;
                return true;
            }
        }
        return false;
    }

    void finish(const char* usage) {
        bool wants_help = flag("--help") || flag("-h");
        for (size_t i = 0; i < words_.size() && !wants_help; i++) {
            if (!used_[i]) {
                fprintf(stderr, "%s: what is \"%s\"? (--help lists the options)\n", program_,
                        words_[i]);
                exit(2);
            }
        }
        if (wants_help) {
            fputs(usage, stdout);
            exit(0);
        }
    }

private:
    const char* take_value(const char* name) {
        for (size_t i = 0; i < words_.size(); i++) {
            if (used_[i] || strcmp(words_[i], name) != 0) {
                continue;
            }
            if (i + 1 == words_.size()) {
                fprintf(stderr, "%s: %s wants a value\n", program_, name);
                exit(2);
            }
            used_[i] = used_[i + 1] = true;
            return words_[i + 1];
        }
        return nullptr;
    }

    const char* program_;
    std::vector<char*> words_;
    std::vector<bool> used_;
};

}  // namespace bench
