#!/bin/sh
# Makes the result files the simulator serves; run it anywhere, it writes beside itself. Needs ffmpeg 5 or newer.
# Everything is drawn by ffmpeg's own sources, so there is nothing to credit.
set -eu
cd "$(dirname "$0")"
quiet="ffmpeg -hide_banner -loglevel error -y"
# No encoder versions or dates in the files (unit type 6 below is where x264 writes its own), so that remaking them
# with the same ffmpeg changes nothing.
plain="-map_metadata -1 -fflags +bitexact -flags:v +bitexact"

# Five seconds of 720p: drifting colours with two discs that cross, so that a player visibly plays.
# Baseline profile, yuv420p and the index first (faststart) open in every browser and player.
disc() { # colour, size
    echo "color=c=$1:s=$2x$2:r=15:d=5,format=yuva420p,geq=lum='p(X,Y)':cb='p(X,Y)':cr='p(X,Y)':a='if(lte(hypot(X-$2/2,Y-$2/2),$2/2-2),255,0)'"
}
$quiet \
    -f lavfi -i "gradients=s=1280x720:r=15:d=5:n=4:seed=7:speed=0.004:x0=0:y0=0:x1=1280:y1=720:c0=0x1b2a6b:c1=0x7b3fa0:c2=0xe2607a:c3=0xf6b65e" \
    -f lavfi -i "$(disc 0xfff4dc 220)" \
    -f lavfi -i "$(disc 0x5eead4 120)" \
    -filter_complex "[0][1]overlay=x='530+380*sin(2*PI*t/5)':y='250-90*cos(2*PI*t/5)'[a];[a][2]overlay=x='580-420*sin(2*PI*t/5)':y='300+150*cos(2*PI*t/5)',format=yuv420p" \
    -t 5 -c:v libx264 -profile:v baseline -preset veryslow -crf 40 -g 120 -threads 1 -bsf:v filter_units=remove_types=6 \
    -movflags +faststart $plain output.mp4

$quiet -ss 1 -i output.mp4 -frames:v 1 -vf scale=640:360 -q:v 6 $plain thumb.jpg

# Four square pictures that a person can tell apart at a glance.
picture() { # number, first colour, second colour
    $quiet -f lavfi -i "gradients=s=640x640:n=2:seed=$1:c0=$2:c1=$3:x0=0:y0=0:x1=640:y1=640" -frames:v 1 \
        -vf "drawbox=x=120:y=120:w=400:h=400:color=white@0.25:t=fill,drawbox=x=$((40 + 100 * $1)):y=280:w=80:h=80:color=white@0.9:t=fill" \
        -q:v 5 $plain "image-$1.jpg"
}
picture 1 0x14532d 0xa3e635
picture 2 0x1e3a8a 0x67e8f9
picture 3 0x7f1d1d 0xfdba74
picture 4 0x4c1d95 0xf9a8d4
