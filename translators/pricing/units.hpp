// What has a price by number, second or letter: images, speech, rankings. Counted from the request,
// for many providers say nothing of it in their answers.
#pragma once

#include <string>
#include <string_view>

#include "translators/json/reader.hpp"
#include "translators/pricing/price.hpp"

namespace llm {

// Of a recording in another format than WAV, until the answer says it.
constexpr int64_t kUnknownLength = -1;

struct Units {
    int64_t images = 0;
    int64_t pixels = 0;      // of one image
    std::string image_size;  // as prices are named: "1024-x-1024"
    std::string quality;
    int64_t characters = 0;  // to be spoken
    int64_t audio_ms = 0;    // to be understood, or kUnknownLength
    int64_t queries = 0;     // by which texts are ranked
    bool are_given = false;  // by the answer, or for sure; else the request asked for so many
    bool are_booked = false;

    bool any() const { return images > 0 || characters > 0 || audio_ms != 0 || queries > 0; }
};

// `path`: with or without what stands before /images or /audio. `root`: the body when it is JSON;
// else `boundary` is the form's.
Units count_units(std::string_view path, std::string_view body, json::Value root,
                  std::string_view boundary);

// What the answer says instead: how many images came, how long the speech was, how many queries a
// ranking is billed as.
void count_given(json::Value answer, Units &units);

// Nano-dollars; below zero: the price has nothing for such units.
int64_t cost_of(const Units &units, const Price &price);

// Milliseconds of a file in WAV, 0: it is none, or does not say.
int64_t wav_ms(std::string_view file);

}  // namespace llm
